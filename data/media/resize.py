"""Images made to cover a size: resized, and their middle cut. OpenCV is imported only when needed.

The size of the result is bounded beforehand: an image far longer than the size asked for is first cut to its
middle. A 1x30000 image made to cover 224x224 would otherwise have 1.5 billion pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError

LONGEST = 4
"""Longest side of a resized image, in multiples of the longer side asked for; the rest is cut off before."""
MARGIN = 8
"""Pixels kept beyond what is needed, so that interpolation at the new border sees true neighbours."""


def covering(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an image until it just covers a size.

    Args:
        pixels: uint8 or uint16 (h, w, c).
        height: in pixels.
        width: in pixels.

    Returns:
        One side as asked, the other at least so long; area-averaged when it shrinks, bicubic when it grows.

    Raises:
        DataError: OpenCV cannot resize the image, or there is not enough memory.
    """
    high, wide = pixels.shape[:2]
    # The side that needs the larger factor, as a fraction: a float factor would round some sizes differently.
    goal, given = (height, high) if height * wide >= width * high else (width, wide)
    if goal == given:
        return pixels
    import cv2

    if max(high, wide) * goal > LONGEST * max(height, width) * given:
        pixels = middle(pixels, *(_needed(side, goal, given) for side in ((high, height), (wide, width))))
        high, wide = pixels.shape[:2]
    new = (max(width, round(wide * goal / given)), max(height, round(high * goal / given)))
    how = cv2.INTER_AREA if goal < given else cv2.INTER_CUBIC
    try:
        resized = cv2.resize(pixels, new, interpolation=how)
    except (cv2.error, MemoryError):
        raise DataError(f"{wide}x{high} pixels cannot be resized to {new[0]}x{new[1]}") from None
    # OpenCV drops a single channel.
    return np.asarray(resized).reshape(new[1], new[0], -1)


def _needed(side: tuple[int, int], goal: int, length: int) -> int:
    """Return how many pixels of a side (length now, length asked for) are needed at scale goal / length."""
    now, asked = side
    return min(now, -(-asked * length // goal) + 2 * MARGIN)


def middle(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return a copy of the middle of an image (h, w, c), or the image where it has the size already."""
    if pixels.shape[:2] == (height, width):
        return pixels
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()
