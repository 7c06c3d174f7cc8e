"""Images made to cover a size: resized, and their middle cut. OpenCV is imported only when needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def covering(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an image until it just covers a size.

    Args:
        pixels: uint8 or uint16 (h, w, c).
        height: in pixels.
        width: in pixels.

    Returns:
        One side as asked, the other at least so long; area-averaged when it shrinks, bicubic when it grows.
    """
    high, wide = pixels.shape[:2]
    # The side that needs the larger factor, as a fraction: a float factor would round some sizes differently.
    goal, given = (height, high) if height * wide >= width * high else (width, wide)
    if goal == given:
        return pixels
    import cv2

    new = (max(width, round(wide * goal / given)), max(height, round(high * goal / given)))
    how = cv2.INTER_AREA if goal < given else cv2.INTER_CUBIC
    # OpenCV drops a single channel.
    return np.asarray(cv2.resize(pixels, new, interpolation=how)).reshape(new[1], new[0], -1)


def middle(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return a copy of the middle of an image (h, w, c), or the image where it has the size already."""
    if pixels.shape[:2] == (height, width):
        return pixels
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()
