"""Friendly adversarial training for TRADES (Zhang et al. 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.training.friendly import Friendly, Share, Steps
from clearsight.defend.training.trades import TRADESMethod

if TYPE_CHECKING:
    from clearsight.defend.search.training_attack import TrainingAttack


class FATTRADES(Friendly, TRADESMethod):
    """TRADES whose attack stops tau steps after an image is first misclassified."""

    kind: Literal["fat_trades"] = "fat_trades"
    purpose: ClassVar[str] = "TRADES with attacks that stop soon after the boundary"

    tau: tuple[Steps, ...] = (0, 1, 2, 3)
    """Steps after the first misclassification, one value a stretch of the budget."""
    tau_until: tuple[Share, ...] = (30 / 85, 50 / 85, 70 / 85)
    """Shares of the budget at which the stretches end. The authors' epochs are 30, 50 and 70 of 85."""

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack of TRADES, with the tau of this share of the budget."""
        return replace(super().training_attack(share), tau=self.tau_at(share))
