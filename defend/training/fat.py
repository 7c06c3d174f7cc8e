"""Friendly adversarial training (Zhang et al. 2020): attacks that stop soon after the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.training.base import BallMethod
from clearsight.defend.training.friendly import Friendly

if TYPE_CHECKING:
    from clearsight.defend.search.training_attack import TrainingAttack


class FAT(Friendly, BallMethod):
    """Minimise the cross-entropy of the least adversarial images among those that are misclassified.

    The attack of an image stops tau steps after it is first misclassified; an image that has stopped is
    not computed any more, which is what makes the method cheap.
    """

    kind: Literal["fat"] = "fat"
    purpose: ClassVar[str] = "friendly adversarial training: PGD that stops soon after the boundary"

    faithful: Literal["paper", "repo"] = "repo"
    """repo: the authors' code adds normal noise of 0.001 to each step of the attack, against local minima;
    paper: it does not stand in the published algorithm."""

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack, with the tau of this share of the budget."""
        from clearsight.defend.search.training_attack import TrainingAttack

        jitter = 0.001 if self.faithful == "repo" else 0.0
        return TrainingAttack(
            self.norm, self.eps, self.steps, self.size, self.eps, tau=self.tau_at(share), jitter=jitter
        )
