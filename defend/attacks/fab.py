"""FAB, targeted: looks for the nearest misclassified point instead of the worst one of a ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number, kind_of
from clearsight.defend.attacks.base import BallAttack, needs_classes
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class FAB(BallAttack):
    """The fast adaptive boundary attack in its targeted form (Croce and Hein 2020, FAB-T).

    It does not depend on a step size or a loss, and barely on the radius, which only tells it when to stop.
    """

    kind: Literal["fab"] = "fab"
    purpose: ClassVar[str] = "nearest misclassified point, by projections onto linearised boundaries"
    strength: ClassVar[Strength] = Strength.FULL

    targets: Annotated[int, Field(ge=1)] = 9
    """Classes that are aimed at, most likely first; at most one less than there are."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Steps towards each class from each start."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Starts for each class; all but the first are random."""
    alpha_max: Annotated[Number, Field(ge=0, le=1)] = 0.1
    """Largest weight of the step that is taken from the image itself."""
    eta: Annotated[Number, Field(ge=1)] = 1.05
    """How far a step goes beyond the linearised boundary; 1 ends on it."""
    beta: Annotated[Number, Field(gt=0, lt=1)] = 0.9
    """Share of its distance that a misclassified point is drawn back to."""

    def fits(self, classes: int) -> None:
        """Raise `AttackError` where there is no second class."""
        needs_classes(kind_of(self), 2, classes)

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        starts = self.restarts * min(self.targets, classes - 1)
        # A point that becomes misclassified is drawn back, which costs a second gradient; the step after
        # it is judged by a forward pass alone: at worst three gradients in two steps.
        return 1 + starts * (2 * self.steps + 4), starts * (self.steps + self.steps // 2)

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the misclassified point within eps; else the nearest one, scaled to eps."""
        from clearsight.defend.search.balls import per_image
        from clearsight.defend.search.fab import Pace, nearest

        found, distance = nearest(
            target,
            batch,
            rng,
            norm=self.norm,
            eps=self.eps,
            targets=self.targets,
            restarts=self.restarts,
            pace=Pace(self.steps, self.alpha_max, self.eta, self.beta),
        )
        share = (self.eps / distance.clamp_min(1e-12)).clamp_max(1.0)
        scaled = batch.images + (found - batch.images) * per_image(share, found)
        inside = per_image(distance <= self.eps, found)
        return found.where(inside, scaled.clamp(0.0, 1.0))
