"""Projected gradient descent whose perturbation is smooth: only the lowest frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import IterativeAttack

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target


class LowFrequency(IterativeAttack):
    """PGD in the lowest frequencies of the discrete cosine transform (Guo et al. 2018, Sharma et al. 2019).

    Such perturbations pass parts that take noise away (JPEG, blur, denoisers). Each step follows the
    gradient's low frequencies, takes the high ones off the perturbation and then projects it to ball and
    cube. Where that last cut clips pixels, a little of the high frequencies comes back.
    """

    kind: Literal["low_frequency"] = "low_frequency"
    purpose: ClassVar[str] = "PGD in the lowest spatial frequencies, against defences that smooth"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    share: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Share of the frequencies of each axis that are kept, the lowest ones; 1 is plain PGD."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Starts; only images that survived the ones before are tried again."""
    random_start: bool = True
    """Begin at a random smooth point of the ball; false: at the image."""
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
        from clearsight.defend.search import losses
        from clearsight.defend.search.balls import steepest_direction
        from clearsight.defend.search.frequencies import low_pass
        from clearsight.defend.search.gradient_ascent import gradient_ascent

        centre, labels = batch.images, batch.labels
        x = self._start(centre, streams, at) if self.random_start else centre.clone()
        raised = {"cross_entropy": losses.cross_entropy, "margin": losses.margin}[self.loss]

        def look(x: Tensor, active: Tensor) -> GradientOutput:
            return target.gradient(x, batch.rows[active], raised(labels[active]))

        def move(x: Tensor, gradient: Tensor, active: Tensor) -> Tensor:
            moved = x + self.length * steepest_direction(low_pass(gradient, self.share), self.norm)
            return self._kept(moved, centre[active])

        return gradient_ascent(target, batch, x, steps=self.steps, look=look, move=move)

    def _start(self, centre: Tensor, streams: Streams, at: Tensor) -> Tensor:
        from clearsight.defend.search.balls import TINY, per_image, random_point, size
        from clearsight.defend.search.frequencies import low_pass

        point = random_point(centre, self.norm, self.eps, streams, at)
        smooth = low_pass(point - centre, self.share)
        # Smoothing leaves little of white noise; without its length back, the start would be the image.
        reach = size(point - centre, self.norm) / size(smooth, self.norm).clamp_min(TINY)
        return self._kept(centre + smooth * per_image(reach, smooth), centre)

    def _kept(self, x: Tensor, centre: Tensor) -> Tensor:
        """Return the point without high frequencies, then cut to ball and cube."""
        from clearsight.defend.search.balls import project
        from clearsight.defend.search.frequencies import low_pass

        return project(centre + low_pass(x - centre, self.share), centre, self.norm, self.eps)
