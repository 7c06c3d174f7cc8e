"""The fast gradient sign method: one step, as far as the ball goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class FGSM(BallAttack):
    """One step of steepest ascent of the cross-entropy (Goodfellow et al. 2015), for any norm.

    It is a check, not a measure of robustness: an iterative attack that does worse is misled by gradients.
    """

    kind: Literal["fgsm"] = "fgsm"
    purpose: ClassVar[str] = "one gradient step; a check, not a measure"
    strength: ClassVar[Strength] = Strength.ONE_STEP

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return 1, 1

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the images after one step of length eps."""
        from clearsight.defend.search.balls import project, steepest_direction
        from clearsight.defend.search.losses import cross_entropy

        slope = target.gradient(batch.images, batch.rows, cross_entropy(batch.labels))
        step = self.eps * steepest_direction(slope.gradient, self.norm, x=batch.images)
        return project(batch.images + step, batch.images, self.norm, self.eps)
