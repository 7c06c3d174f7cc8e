"""Projected gradient descent: many small steps, from random starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import IterativeAttack
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target


class PGD(IterativeAttack):
    """Projected gradient descent (Madry et al. 2018), optionally with momentum (Dong et al. 2018).

    An image that is misclassified is finished and costs nothing any more, unless the system is random.
    """

    kind: Literal["pgd"] = "pgd"
    purpose: ClassVar[str] = "projected gradient descent with restarts and momentum"
    strength: ClassVar[Strength] = Strength.FULL

    restarts: Annotated[int, Field(ge=1)] = 1
    """Random starts; only images that survived the ones before are tried again."""
    random_start: bool = True
    """Begin at a random point of the ball; false: at the image."""
    momentum: Annotated[Number, Field(ge=0)] = 0.0
    """Decay of the running sum of normalised gradients; 0 turns it off."""
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    """What is raised."""

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return, for each image, the misclassified point, or else the end of the last start."""
        from clearsight.defend.search.gradient_ascent import retried
        from clearsight.defend.search.streams import Streams

        streams = Streams(rng, batch.ids)
        return retried(batch, self.restarts, lambda left: self._climb(target, batch.of(left), streams, left))

    def _climb(
        self, target: Target, batch: AttackBatch, streams: Streams, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the ends of one start and which of them are misclassified."""
        import torch

        from clearsight.defend.search import losses
        from clearsight.defend.search.balls import per_image, project, random_point, size, steepest_direction
        from clearsight.defend.search.gradient_ascent import gradient_ascent

        centre, labels = batch.images, batch.labels
        x = random_point(centre, self.norm, self.eps, streams, at) if self.random_start else centre.clone()
        raised = {"cross_entropy": losses.cross_entropy, "margin": losses.margin}[self.loss]
        velocity = torch.zeros_like(x)

        def look(x: Tensor, active: Tensor) -> GradientOutput:
            return target.gradient(x, batch.rows[active], raised(labels[active]))

        def move(x: Tensor, gradient: Tensor, active: Tensor) -> Tensor:
            if self.momentum:
                scale = per_image(size(gradient, "l1").clamp_min(1e-12), gradient)
                velocity[active] = self.momentum * velocity[active] + gradient / scale
                gradient = velocity[active]
            moved = x + self.length * steepest_direction(gradient, self.norm, x=x)
            return project(moved, centre[active], self.norm, self.eps)

        return gradient_ascent(target, batch, x, steps=self.steps, look=look, move=move)
