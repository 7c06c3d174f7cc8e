"""Tone curves from local histograms, differentiable throughout."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256
"""Grey levels of a histogram."""
DARK = 4 / 255
"""Luma below which colours are mostly noise."""
SMALLEST = 16
"""Smallest side of a tile in pixels."""


def luma(x: Tensor) -> Tensor:
    """Return 0.299 R + 0.587 G + 0.114 B (BT.601, full range), (n, 1, h, w); grey images as they are."""
    if x.shape[1] == 1:
        return x
    weights = x.new_tensor([0.299, 0.587, 0.114])
    return (x * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def recolour(x: Tensor, y: Tensor, toned: Tensor) -> Tensor:
    """Give an image a new luma and keep its colours about as strong relative to it.

    Adding the same to red, green and blue would make brightened colours look grey. The colour
    differences therefore grow with the luma, never shrink, and grow at most fourfold (they hold the noise).

    Args:
        x: (n, c, h, w).
        y: its `luma`, (n, 1, h, w).
        toned: the new luma, same shape.

    Returns:
        (n, c, h, w); values may leave [0, 1].
    """
    if x.shape[1] == 1:
        return toned
    gain = ((toned + DARK) / (y + DARK)).clamp(1.0, 4.0)
    return toned + gain * (x - y)


def tone_map(y: Tensor, *, tiles: int, clip_limit: float | None) -> Tensor:
    """Equalise grey images by the cumulative histograms of a grid of tiles.

    Args:
        y: (n, 1, h, w), values in [0, 1].
        tiles: tiles along each side, fewer where they would be smaller than 16 pixels.
        clip_limit: largest count of a level in multiples of the mean count; what exceeds it is spread over
            all levels. None does not limit.

    Returns:
        (n, 1, h, w), values in [0, 1].
    """
    rows, columns = _Axis(y.shape[2], tiles, y), _Axis(y.shape[3], tiles, y)
    position = (y.flatten(1) * (LEVELS - 1)).clamp(0, LEVELS - 1)
    level = position.detach().floor().clamp(max=LEVELS - 2)
    share = position - level
    level = level.long()
    tile = (rows.own[:, None] * tiles + columns.own[None, :]).flatten()
    at = tile * LEVELS + level
    zeros = y.new_zeros(y.shape[0], tiles * tiles * LEVELS)
    counts = zeros.scatter_add(1, at, 1 - share).scatter_add(1, at + 1, share)
    curves = _curves(counts.view(-1, tiles * tiles, LEVELS), clip_limit).flatten(1)
    out = torch.zeros_like(share)
    for row, row_weight in ((rows.before, 1 - rows.share), (rows.after, rows.share)):
        for column, column_weight in ((columns.before, 1 - columns.share), (columns.after, columns.share)):
            at = (row[:, None] * tiles + column[None, :]).flatten() * LEVELS + level
            low, high = curves.gather(1, at), curves.gather(1, at + 1)
            out = out + (row_weight[:, None] * column_weight[None, :]).flatten() * (
                low + share * (high - low)
            )
    return out.view(y.shape)


class _Axis:
    """For every pixel of one axis: its own tile, the two nearest tiles, and the share of the second."""

    def __init__(self, size: int, tiles: int, like: Tensor) -> None:
        at = torch.arange(size, device=like.device)
        count = torch.clamp(torch.ones_like(at).sum() // SMALLEST, 1, tiles)
        self.own = at * count // size
        middle = ((at.to(like.dtype) + 0.5) * count / size - 0.5).clamp_min(0.0)
        self.before = torch.minimum(middle.floor().long(), count - 1)
        self.after = torch.minimum(self.before + 1, count - 1)
        self.share = middle - self.before


def _curves(counts: Tensor, clip_limit: float | None) -> Tensor:
    """Return tone curves (n, tiles, LEVELS) from counts of the same shape."""
    total = counts.sum(dim=2, keepdim=True).clamp_min(1.0)
    if clip_limit is not None:
        kept = torch.minimum(counts, clip_limit * total / LEVELS)
        counts = kept + (total - kept.sum(dim=2, keepdim=True)) / LEVELS
    # Half of a level's own count keeps a uniform histogram where it is, and single-grey images mid-way.
    below = counts.cumsum(dim=2) - 0.5 * counts
    first, last = below[:, :, :1], below[:, :, -1:]
    return (below - first) / (last - first).clamp_min(0.5)
