"""Blocks of images that were enlarged without interpolation, smoothed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Gradient, Number
from clearsight.restore.base import RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images, ScaledImages

EQUAL = 0.5 / 255
"""Greatest difference of values that are equal: half a grey level."""
FEWEST = 8
"""Least number of blocks along an axis."""


class Depixelate(RestorerSpec):
    """Finds the grid of pixelated images and interpolates between the blocks; other images stay.

    An image that was enlarged by repeating its pixels has rows, and columns, that equal their neighbours in
    every value, at regular distances. No photograph has that. The blocks are the pixels of the small image,
    and those are interpolated by cubic convolution (Keys 1981). Rows that are equal here and there, as above
    and below a film, are not regular and change nothing; blocks that were compressed or resized afterwards
    are no longer equal, and are not found.

    Any change breaks the blocks, so that what an attack sees is the identity: that is the surrogate.
    """

    kind: Literal["depixelate"] = "depixelate"
    gradient: ClassVar[Gradient] = Gradient.SURROGATE
    purpose: ClassVar[str] = "smooths the blocks of pixelated images; leaves others alone"

    finest: Annotated[Number, Field(gt=0, le=1)] = 0.85
    """Blocks per pixel along each axis above which an image is left alone."""

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images, those with blocks interpolated between the blocks' middles."""
        x = x.detach()
        rows, columns = _blocks(x, axis=2), _blocks(x, axis=3)
        regular = self._regular(rows) & self._regular(columns)
        smooth = _interpolated(_interpolated(x, rows, axis=2), columns, axis=3)
        return smooth.clamp(0.0, 1.0).where(regular[:, None, None, None], x)

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the identity."""
        return 1.0 * x

    def _regular(self, blocks: Tensor) -> Tensor:
        """Return which images (n,) have blocks of one size along an axis."""
        size, count = blocks.shape[1], blocks[:, -1] + 1.0
        apart = (blocks - _even(blocks)).abs().amax(dim=1)
        # A pixel lies at most half a block from the middle of its own; grids that are cut off add to it.
        return (apart <= 1.0) & (count >= FEWEST) & (count <= self.finest * size)


def small_image(x: Images) -> ScaledImages:
    """Return the image (1, c, rows of blocks, columns of blocks) whose pixels the blocks of one image are."""
    from torch.nn import functional

    rows, columns = (
        functional.pad((blocks[1:] != blocks[:-1]).nonzero()[:, 0] + 1, (1, 0))
        for blocks in (_blocks(x, axis=2)[0], _blocks(x, axis=3)[0])
    )
    return x.index_select(2, rows).index_select(3, columns)


def _blocks(x: Images, axis: int) -> Tensor:
    """Return the number of the block that each row (axis 2) or column (3) lies in, (n, size)."""
    import torch

    size = x.shape[axis]
    steps = (x.narrow(axis, 1, size - 1) - x.narrow(axis, 0, size - 1)).abs().amax(dim=(1, 5 - axis))
    starts = torch.cat([torch.zeros_like(x[:, 0, 0, :1]), (steps > EQUAL).to(x.dtype)], dim=1)
    return starts.cumsum(dim=1)


def _even(blocks: Tensor) -> Tensor:
    """Return where each row or column would lie among as many blocks of one size, in blocks, (n, size)."""
    import torch

    size = blocks.shape[1]
    at = torch.arange(size, device=blocks.device, dtype=blocks.dtype)
    return (at + 0.5) * (blocks[:, -1:] + 1.0) / size - 0.5


def _interpolated(x: Tensor, blocks: Tensor, axis: int) -> Tensor:
    """Return the blocks' values interpolated along an axis."""
    import torch

    from clearsight.restore.ops.resize import cubic

    size, last, where = blocks.shape[1], blocks[:, -1:], _even(blocks)
    at = torch.arange(size, device=x.device, dtype=x.dtype)
    below = where.floor()
    # Of each block its first row: there are as many rows before it as lie in earlier blocks.
    first = (blocks[:, None, :] < at[None, :, None]).sum(dim=2)
    out = torch.zeros_like(x)
    for step in (-1.0, 0.0, 1.0, 2.0):
        number = (below + step).clamp_min(0.0).minimum(last)
        source = first.gather(1, number.long())
        shape = (x.shape[0], 1, size, 1) if axis == 2 else (x.shape[0], 1, 1, size)
        weight = cubic(where - below - step).view(shape)
        out = out + weight * x.gather(axis, source.view(shape).expand_as(x))
    return out
