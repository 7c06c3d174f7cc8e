"""Which part of an image is kept, and how large it becomes, where it is made to cover a size."""

from __future__ import annotations

LONGEST = 4
"""Longest side of a resized image, in multiples of the longer side asked for; the rest is cut off before."""
MARGIN = 8
"""Pixels kept beyond what is needed, so that interpolation at the new border sees true neighbours."""

Size = tuple[int, int]
"""Height and width in pixels."""


def placement(high: int, wide: int, height: int, width: int) -> tuple[Size, Size]:
    """Return the size of the middle of an image that is resized, and the size that it gets.

    Args:
        high: of the image.
        wide: of the image.
        height: that is to be covered.
        width: that is to be covered.

    Returns:
        The image's own size, unless it is far longer than what is asked for; then the size after resizing:
        one side as asked, the other at least so long.
    """
    # The side that needs the larger factor, as a fraction: a float factor would round some sizes differently.
    goal, given = (height, high) if height * wide >= width * high else (width, wide)
    if goal == given:
        return (high, wide), (high, wide)
    if max(high, wide) * goal > LONGEST * max(height, width) * given:
        high, wide = (_needed(side, goal, given) for side in ((high, height), (wide, width)))
    return (high, wide), (max(height, round(high * goal / given)), max(width, round(wide * goal / given)))


def _needed(side: tuple[int, int], goal: int, length: int) -> int:
    """Return how many pixels of a side (length now, length asked for) are needed at scale goal / length."""
    now, asked = side
    return min(now, -(-asked * length // goal) + 2 * MARGIN)
