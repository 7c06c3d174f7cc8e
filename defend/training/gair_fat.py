"""GAIRAT with the early stop of friendly adversarial training (Zhang et al. 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import Number
from clearsight.defend.training.friendly import Friendly, Share, Steps
from clearsight.defend.training.gairat import GeometryAware

if TYPE_CHECKING:
    from clearsight.defend.search.training_attack import TrainingAttack


class GAIRFAT(Friendly, GeometryAware):
    """GAIRAT whose attack stops tau steps after an image is first misclassified.

    The authors' code compares predictions with the labels of other images once some of the batch have
    stopped, in the attack and in the weighted loss. That is a slip, not a choice, and is not repeated here.
    """

    kind: Literal["gair_fat"] = "gair_fat"
    purpose: ClassVar[str] = "GAIRAT with attacks that stop soon after the boundary"

    offset: Number = 0.0
    """Lambda of the paper: lower gives more of the weight to the images nearest to the boundary."""
    tau: tuple[Steps, ...] = (0, 3, 6)
    """Steps after the first misclassification, one value a stretch of the budget."""
    tau_until: tuple[Share, ...] = (40 / 120, 70 / 120)
    """Shares of the budget at which the stretches end, rising. The authors' epochs are 40 and 70 of 120."""

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack, with the tau of this share of the budget."""
        return replace(super().training_attack(share), tau=self.tau_at(share))
