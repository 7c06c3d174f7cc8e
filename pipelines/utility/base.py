"""`Utility`: what images are for, and therefore what a system must give and is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clearsight.data.contract.spec import Flow

if TYPE_CHECKING:
    from torch import Tensor


class Utility(Protocol):
    """What all purposes have in common."""

    @property
    def flow(self) -> Flow:
        """What a system must give."""

    @property
    def primary(self) -> str:
        """What systems are judged by: a column of the rows or, for all images together, a metric."""


class PerImage(Utility, Protocol):
    """A purpose for which a system is right or wrong about each image by itself."""

    def loss(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return how wrong each output is, (n,), 0 where it could not be better.

        Args:
            outputs: what the system says, one row per image.
            truths: what is right, one row per image, on the same device.
        """

    def right(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return which outputs are right, bool (n,); the arguments are those of `loss`."""
