"""`Utility`: what images are for, and therefore when a system is right about one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Utility(Protocol):
    """Compares what a system says of images with the truth."""

    @property
    def primary(self) -> str:
        """Column of the rows that says whether the system is right."""

    def loss(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return how wrong each output is, (n,), 0 where it could not be better.

        Args:
            outputs: what the system says, one row per image.
            truths: what is right, one row per image, on the same device.
        """

    def right(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return which outputs are right, bool (n,); the arguments are those of `loss`."""
