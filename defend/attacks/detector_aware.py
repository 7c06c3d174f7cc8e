"""Projected gradient descent against classifier and detector at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import IterativeAttack
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.gradient_ascent import BestPoints
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target

FOUND = 1e6
"""Added to the scores of misclassified points: more than any suspicion."""


class DetectorAware(IterativeAttack):
    """PGD on a combined loss: the lead of a wrong class, less suspicion (Carlini & Wagner 2017).

    The lead counts up to ``kappa`` only: from there on the detector alone is fooled. One start for each of
    the ``weights``; what comes back is, of all points that are misclassified, the one that the detector
    suspects least, so that no image is finished early.
    """

    kind: Literal["detector_aware"] = "detector_aware"
    purpose: ClassVar[str] = "misleads the classifier and the detector beside it, by a combined loss"
    strength: ClassVar[Strength] = Strength.FULL
    needs_detector: ClassVar[bool] = True

    weights: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], Field(min_length=1)] = (1.0, 10.0)
    """What the detector's suspicion weighs beside the logits, a start each."""
    kappa: Annotated[Number, Field(ge=0)] = 10.0
    """Lead of a wrong class, in logits, that is enough: an answer that is as sure as a clean one's. Detectors
    suspect unsure answers, so a small lead is found out."""
    random_start: bool = True
    """Begin at a random point of the ball; false: at the image."""

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return len(self.weights) * (self.steps + 1), len(self.weights) * (self.steps + 1)

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return, for each image, the misclassified point of least suspicion, or else the largest lead."""
        import torch

        from clearsight.defend.search.gradient_ascent import BestPoints
        from clearsight.defend.search.streams import Streams

        streams, best = Streams(rng, batch.ids), BestPoints(batch.images)
        everyone = torch.arange(len(batch), device=batch.images.device)
        for weight in self.weights:
            self._climb(target, batch, streams, everyone, weight, best)
        return best.images

    def _climb(
        self,
        target: Target,
        batch: AttackBatch,
        streams: Streams,
        everyone: Tensor,
        weight: float,
        best: BestPoints,
    ) -> None:
        """Take the steps of one start, and note the best points on the way."""
        from clearsight.defend.search import losses
        from clearsight.defend.search.balls import project, random_point, steepest_direction

        centre = batch.images
        x = (
            random_point(centre, self.norm, self.eps, streams, everyone)
            if self.random_start
            else centre.clone()
        )
        lead = losses.margin(batch.labels)
        for step in range(self.steps + 1):
            said: list[Tensor] = []

            def combined(logits: Tensor, suspicion: Tensor, said: list[Tensor] = said) -> Tensor:
                said += [lead(logits).detach(), suspicion.detach()]
                return lead(logits).clamp(max=self.kappa) - weight * suspicion

            output: GradientOutput = target.screened(x, batch.rows, combined)
            leads, suspicion = said[-2:]
            # Whatever is misclassified comes before whatever is not.
            scores = leads.where(leads <= 0, FOUND - suspicion)
            best.update(everyone, x, scores)
            if step < self.steps:
                moved = x + self.length * steepest_direction(output.gradient, self.norm, x=x)
                x = project(moved, centre, self.norm, self.eps)
