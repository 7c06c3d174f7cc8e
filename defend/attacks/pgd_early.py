"""Projected gradient descent that stops soon after the decision boundary: the friendly attack of FAT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.defend.attacks.base import IterativeAttack

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class EarlyPGD(IterativeAttack):
    """PGD-K-tau (Zhang et al. 2020): a misclassified image makes tau more steps, then stays.

    It fools the network on the same images as PGD with as many steps, but only just: its points lie near the
    decision boundary. Friendly adversarial training learns from them.
    """

    kind: Literal["pgd_early"] = "pgd_early"
    purpose: ClassVar[str] = "early-stopped PGD-K-tau of friendly adversarial training"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    steps: Annotated[int, Field(ge=1)] = 10
    """K, the most gradient steps that an image makes."""
    tau: Annotated[int, Field(ge=0)] = 0
    """Extra steps of an image that is misclassified."""
    random_start: bool = True
    """Begin at a random point of the ball; false: at the image."""

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return self.steps + 1, self.steps

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return where each image stopped, or the point before where it was misclassified only there."""
        import torch

        from clearsight.defend.search.balls import random_point
        from clearsight.defend.search.early_stop import early_stopped
        from clearsight.defend.search.losses import cross_entropy
        from clearsight.defend.search.streams import Streams

        centre, labels = batch.images, batch.labels
        everyone = torch.arange(len(batch), device=centre.device)
        start = centre
        if self.random_start:
            start = random_point(centre, self.norm, self.eps, Streams(rng, batch.ids), everyone)

        def look(x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
            slope = target.gradient(x, batch.rows[at], cross_entropy(labels[at]))
            return slope.logits, slope.gradient

        result = early_stopped(
            look,
            centre,
            start,
            labels,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            step_size=self.length,
            tau=self.tau,
        )
        out = result.images.clone()
        # The end of an image that made all steps was never looked at. It matters only where another of its
        # points was misclassified.
        unsure = ((out != result.fooled).flatten(1).any(1) & ~result.frozen).nonzero()[:, 0]
        if len(unsure):
            right = target.logits(out[unsure], batch.rows[unsure]).argmax(1) == labels[unsure]
            out[unsure[right]] = result.fooled[unsure[right]]
        return out
