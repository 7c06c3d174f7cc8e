"""Small array helpers that several corruptions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Level = TypeVar("Level", np.float32, np.uint8)

GREY = (0.299, 0.587, 0.114)
"""Luma weights of ITU-R BT.601."""


def truncate(values: NDArray[np.float32], *, guard: float = 0.0) -> NDArray[np.uint8]:
    """Clip to [0, 255] in place and cut the fraction off, as the published data sets were made.

    Values up to ``guard`` below a whole grey level count as that level.
    """
    import numpy as np

    if guard:
        values += guard
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def like(layer: NDArray[Level], image: NDArray[np.uint8]) -> NDArray[Level]:
    """Repeat a layer (h, w) over the channels of an image: (h, w, c), contiguous."""
    import cv2
    import numpy as np

    # Broadcasting along a last axis of three is several times slower than adding a merged copy.
    if image.shape[2] == 1:
        return layer[..., None]
    return np.asarray(cv2.merge([layer, layer, layer]), layer.dtype)


def lookup(image: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map every value through a table (256,), or each channel through its own (256, c)."""
    import cv2
    import numpy as np

    channels = image.shape[2]
    if table.ndim == 2:
        table = table.reshape(1, 256, channels)
    return np.asarray(cv2.LUT(image, table), np.uint8).reshape(image.shape)
