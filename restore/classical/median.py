"""Median filter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images


class Median(RestorerSpec):
    """Median of a square window, each channel by itself (Tukey 1977).

    The middle value is found by a sorting network of minima and maxima, which is exactly differentiable
    (the gradient goes to the pixel that was chosen) and fast for whole images.
    """

    kind: Literal["median"] = "median"
    purpose: ClassVar[str] = "removes salt-and-pepper noise, keeps edges"

    size: Literal[3, 5, 7] = 3
    """Side of the window in pixels."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one pixel depends on its window."""
        return RestorerFacts(receptive_field=self.size)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the medians; the image is mirrored at its borders."""
        import torch

        from clearsight.restore.ops.filtering import extend

        height, width = x.shape[2:]
        around = extend(x, self.size // 2)
        values: list[Tensor] = [
            around[:, :, top : top + height, left : left + width]
            for top in range(self.size)
            for left in range(self.size)
        ]
        for low, high in comparators(self.size**2):
            smaller = torch.minimum(values[low], values[high])
            values[high] = torch.maximum(values[low], values[high])
            values[low] = smaller
        return values[self.size**2 // 2]


@cache
def comparators(count: int) -> tuple[tuple[int, int], ...]:
    """Return compare-and-swap pairs that bring the median of ``count`` values to the middle position.

    Batcher's odd-even merge sort (1968) without the pairs that the middle position does not depend on.
    """
    needed, kept = {count // 2}, []
    for low, high in reversed(list(_merge_sort(count))):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    return tuple(reversed(kept))


def _merge_sort(count: int) -> Iterator[tuple[int, int]]:
    """Yield the compare-and-swap pairs of the whole sort."""
    block = 1
    while block < count:
        step = block
        while step >= 1:
            for start in range(step % block, count - step, 2 * step):
                for at in range(start, min(start + step, count - step)):
                    if at // (2 * block) == (at + step) // (2 * block):
                        yield at, at + step
            step //= 2
        block *= 2
