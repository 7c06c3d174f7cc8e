"""Rotations and translations: no gradient, no norm, only other poses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import Attack
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class Spatial(Attack):
    """The worst of many rotations and translations (Engstrom et al. 2019), bilinear.

    The grid is gone through from the least transformation to the greatest, so what comes back is the least
    one of it that is misclassified; an image that is never misclassified comes back as it was. Only the
    predicted class is asked for.
    """

    kind: Literal["spatial"] = "spatial"
    purpose: ClassVar[str] = "worst of many rotations and translations; sees labels only"
    sees: ClassVar[Sees] = "labels"

    rotation: Annotated[Number, Field(ge=0, le=180)] = 30.0
    """Greatest rotation in degrees, either way."""
    shift: Annotated[Number, Field(ge=0, le=1)] = 0.1
    """Greatest translation along each axis, as a share of the side."""
    search: Literal["grid", "random"] = "grid"
    """``grid``: all of ``angles`` x ``shifts`` x ``shifts``; ``random``: ``tries`` uniform draws."""
    angles: Annotated[int, Field(ge=1)] = 31
    """Grid: rotations, evenly spaced from one end to the other; an odd number has 0 among them."""
    shifts: Annotated[int, Field(ge=1)] = 5
    """Grid: translations along each axis."""
    tries: Annotated[int, Field(ge=1)] = 10
    """Random: transformations that are tried on an image."""
    border: Literal["zeros", "border"] = "zeros"
    """What comes in from outside: black, or the pixels at the edge."""

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.rotation == 0 and self.shift == 0:
            raise ValueError("rotation and shift are both 0: nothing would move")
        if self.search == "grid" and not self.poses():
            raise ValueError("angles, shifts: this grid holds the image as it is and nothing else")
        return self

    def poses(self) -> list[tuple[float, float, float]]:
        """Return the grid, (degrees, down, right), from the least to the greatest; without the identity."""
        angles = _spread(self.rotation, self.angles)
        shifts = _spread(self.shift, self.shifts)
        grid = [(a, d, r) for a in angles for d in shifts for r in shifts if (a, d, r) != (0, 0, 0)]

        def amount(pose: tuple[float, float, float]) -> float:
            turn = abs(pose[0]) / self.rotation if self.rotation else 0.0
            move = (abs(pose[1]) + abs(pose[2])) / self.shift if self.shift else 0.0
            return turn + move

        # Rounded, so that poses of equal amount keep the order of the grid on every machine.
        return sorted(grid, key=lambda pose: round(amount(pose), 9))

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return (len(self.poses()) if self.search == "grid" else self.tries), 0

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return each image in the first misclassified pose, or as it was."""
        import torch

        from clearsight.defend.search.turning import turned

        out = batch.images.clone()
        left = torch.arange(len(batch), device=out.device)
        for poses in self._tried(batch, rng):
            pose = poses[left].to(out)
            x = turned(batch.images[left], pose[:, 0], pose[:, 1:], border=self.border)
            wrong = target.logits(x, batch.rows[left]).argmax(1) != batch.labels[left]
            out[left[wrong]] = x[wrong]
            left = left[~wrong]
            if not len(left):
                break
        return out

    def _tried(self, batch: AttackBatch, rng: Rng) -> Iterator[Tensor]:
        """Yield the poses (n, 3) of one try of each image after the other."""
        import torch

        from clearsight.defend.search.streams import Streams

        if self.search == "grid":
            for pose in self.poses():
                yield torch.tensor(pose).expand(len(batch), 3)
            return
        drawn = Streams(rng, batch.ids).uniform(torch.arange(len(batch)), (self.tries, 3))
        span = torch.tensor([self.rotation, self.shift, self.shift])
        yield from ((2.0 * drawn - 1.0) * span).unbind(1)


def _spread(most: float, count: int) -> list[float]:
    """Return ``count`` even steps from -most to most; 0 alone where there is only one, or nowhere to go."""
    if count == 1 or most == 0:
        return [0.0]
    return [most * (2 * i - (count - 1)) / (count - 1) for i in range(count)]
