"""Random numbers of a batch under attack: one stream an image, whatever batch it is in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng


class Streams:
    """One generator for each image, drawn from step by step.

    An image's numbers depend on the stream's name, its id and how often it drew before: not on the images
    beside it, nor on when those were finished.
    """

    def __init__(self, rng: Rng, ids: Sequence[str]) -> None:
        """Open the streams; nothing is drawn yet."""
        self._generators = [rng.at(name).torch() for name in ids]

    def uniform(self, at: Tensor, shape: Sequence[int]) -> Tensor:
        """Return numbers in [0, 1), float32 (m, *shape), for the images at positions ``at`` (m,)."""
        return self._draw(at, lambda generator: torch.rand(tuple(shape), generator=generator))

    def normal(self, at: Tensor, shape: Sequence[int]) -> Tensor:
        """Return standard normal numbers, float32 (m, *shape)."""
        return self._draw(at, lambda generator: torch.randn(tuple(shape), generator=generator))

    def integers(self, at: Tensor, high: int, shape: Sequence[int]) -> Tensor:
        """Return integers in [0, high), int64 (m, *shape)."""
        return self._draw(at, lambda generator: torch.randint(high, tuple(shape), generator=generator))

    def signs(self, at: Tensor, shape: Sequence[int]) -> Tensor:
        """Return -1 or 1, float32 (m, *shape)."""
        return 2.0 * self.integers(at, 2, shape).to(torch.float32) - 1.0

    def _draw(self, at: Tensor, one: object) -> Tensor:
        drawn = [one(self._generators[i]) for i in at.tolist()]  # type: ignore[operator]
        return torch.stack(drawn).to(at.device)
