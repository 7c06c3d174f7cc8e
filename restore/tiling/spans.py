"""Tiles with halos along one axis of an image. Whole numbers only: no torch here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TileSpan:
    """One tile along one axis, in input pixels.

    Attributes:
        start: first pixel that is kept.
        stop: one past the last pixel that is kept.
        first: first pixel that the tile is computed from.
        last: one past the last pixel that it is computed from.
    """

    start: int
    stop: int
    first: int
    last: int

    def target(self, scale: int) -> slice:
        """Return the tile's place in the result."""
        return slice(self.start * scale, self.stop * scale)

    def inside(self, scale: int) -> slice:
        """Return the tile's place in the output of its window."""
        return slice((self.start - self.first) * scale, (self.stop - self.first) * scale)


def spans(size: int, tile: int, *, halo: int, step: int, least: int) -> tuple[TileSpan, ...]:
    """Cut one axis into tiles of nearly equal length.

    Args:
        size: length of the axis.
        tile: most pixels that a tile keeps, before rounding up to ``step``.
        halo: pixels that a window reaches further on either side; a multiple of ``step``.
        step: starts, and ends inside the image, are multiples of this.
        least: shortest window, unless the image itself is shorter; a multiple of ``step``.
    """
    count = -(-size // tile)
    side = up(-(-size // count), step)
    cut = []
    for start in range(0, size, side):
        stop = min(start + side, size)
        first, last = max(0, start - halo), min(size, stop + halo)
        if last - first < least:
            # A shorter window would be padded up to the least size where the image continues.
            last = min(size, first + least)
            first = max(0, min(first, (size - least) // step * step))
        cut.append(TileSpan(start, stop, first, last))
    return tuple(cut)


def up(value: int, step: int) -> int:
    """Return the least multiple of ``step`` that is not below ``value``."""
    return -(-value // step) * step
