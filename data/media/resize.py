"""Images made to cover a size: resized, and their middle cut. OpenCV is imported only when needed.

The size of the result is bounded beforehand: an image far longer than the size asked for is first cut to its
middle. A 1x30000 image made to cover 224x224 would otherwise have 1.5 billion pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.media.placement import placement


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
    (high, wide), (new_high, new_wide) = placement(pixels.shape[0], pixels.shape[1], height, width)
    if (high, wide) == (new_high, new_wide) == pixels.shape[:2]:
        return pixels
    import cv2

    how = cv2.INTER_AREA if new_high * new_wide < high * wide else cv2.INTER_CUBIC
    try:
        resized = cv2.resize(middle(pixels, high, wide), (new_wide, new_high), interpolation=how)
    except (cv2.error, MemoryError):
        raise DataError(f"{wide}x{high} pixels cannot be resized to {new_wide}x{new_high}") from None
    # OpenCV drops a single channel.
    return np.asarray(resized).reshape(new_high, new_wide, -1)


def middle(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return a copy of the middle of an image (h, w, c), or the image where it has the size already."""
    if pixels.shape[:2] == (height, width):
        return pixels
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()
