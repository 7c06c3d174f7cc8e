"""Adversarial patches: a square of the image that may be anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import Attack

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.gradient_ascent import BestPoints
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target

Share = Annotated[Number, Field(ge=0, le=1)]


class Patch(Attack):
    """A square whose pixels are free in [0, 1] (after Brown et al. 2017), made for each image by itself.

    Sign steps raise the loss inside the square; everything outside of it stays. Each restart begins with
    other random pixels, and at another place unless that is fixed.
    """

    kind: Literal["patch"] = "patch"
    purpose: ClassVar[str] = "a square of free pixels, at a random or fixed place"
    old_names: ClassVar[dict[str, str]] = {"step": "step_size"}

    side: Annotated[Number, Field(gt=0, le=1)] = 0.2
    """Side of the square as a share of the image's shorter side; at least one pixel."""
    place: Literal["random"] | tuple[Share, Share] = "random"
    """``random``, or where it lies: [0, 0] is the upper left corner, [1, 1] the lower right, [0.5, 0.5] the
    middle (down, right)."""
    restarts: Annotated[int, Field(ge=1)] = 5
    """Places, or beginnings, that are tried; only images that survived the ones before are tried again."""
    steps: Annotated[int, Field(ge=1)] = 50
    """Gradient steps at each place."""
    step_size: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """Length of a step, for pixels in [0, 1]."""
    loss: Literal["margin", "cross_entropy"] = "margin"
    """What is raised."""

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the misclassified images, or else those of the highest loss that was seen."""
        import torch

        from clearsight.defend.search.gradient_ascent import BestPoints
        from clearsight.defend.search.streams import Streams

        streams, best = Streams(rng, batch.ids), BestPoints(batch.images)
        left = torch.arange(len(batch), device=best.images.device)
        for _ in range(self.restarts):
            if len(left):
                reached, broken = self._climb(target, batch.of(left), streams, left)
                best.update(left, reached.images, reached.scores, wins=broken)
                left = left[~broken]
        return best.images

    def squares(self, images: Tensor, streams: Streams, at: Tensor) -> Tensor:
        """Return where the squares lie, bool (n, 1, h, w)."""
        import torch

        height, width = images.shape[2:]
        side = max(1, round(self.side * min(height, width)))
        if self.place == "random":
            share = streams.uniform(at, (2,))
        else:
            share = torch.tensor(self.place, device=images.device).expand(len(images), 2)
        # Of the room + 1 places along an axis each is equally likely.
        room = torch.tensor([height - side, width - side], device=images.device)
        top, left = (share * (room + 1)).long().minimum(room).unbind(1)
        rows, columns = (torch.arange(length, device=images.device) for length in (height, width))
        tall = (rows >= top[:, None]) & (rows < top[:, None] + side)
        wide = (columns >= left[:, None]) & (columns < left[:, None] + side)
        return tall[:, None, :, None] & wide[:, None, None, :]

    def _climb(
        self, target: Target, batch: AttackBatch, streams: Streams, at: Tensor
    ) -> tuple[BestPoints, Tensor]:
        """Return the best points of one restart, by loss, and which are misclassified."""
        import torch

        from clearsight.defend.search import losses
        from clearsight.defend.search.gradient_ascent import BestPoints, gradient_ascent

        clean, labels = batch.images, batch.labels
        inside = self.squares(clean, streams, at)
        x = torch.where(inside, streams.uniform(at, clean.shape[1:]), clean)
        raised = {"margin": losses.margin, "cross_entropy": losses.cross_entropy}[self.loss]
        best = BestPoints(x)

        def look(x: Tensor, active: Tensor) -> GradientOutput:
            return target.gradient(x, batch.rows[active], raised(labels[active]))

        def move(x: Tensor, gradient: Tensor, active: Tensor) -> Tensor:
            moved = (x + self.step_size * gradient.sign()).clamp(0.0, 1.0)
            return torch.where(inside[active], moved, x)

        def judge(logits: Tensor, x: Tensor, active: Tensor) -> Tensor:
            wrong = logits.argmax(1) != labels[active]
            best.update(active, x, raised(labels[active])(logits), wins=wrong)
            return wrong

        _, broken = gradient_ascent(target, batch, x, steps=self.steps, look=look, move=move, judge=judge)
        return best, broken
