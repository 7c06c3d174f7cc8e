"""Pixelate: fewer, larger pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pixelate(Corruption):
    """Shrink by averaging boxes of whole pixels (Pillow's box filter), then enlarge by repeating pixels."""

    kind: Literal["pixelate"] = "pixelate"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    purpose: ClassVar[str] = "low resolution with visible blocks"
    SCALE: ClassVar[dict[str, tuple[float, ...]]] = {
        "imagenet_c": (0.6, 0.5, 0.4, 0.3, 0.25),
        "cifar_c": (0.95, 0.9, 0.85, 0.75, 0.65),
        "tiny_imagenet_c": (0.9, 0.8, 0.7, 0.6, 0.5),
    }
    """Share of the height and width that is left."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the image of coarse blocks."""
        import cv2
        import numpy as np

        scale = self.SCALE[self.table][self.severity - 1]
        height, width, channels = image.shape
        (top, bottom), (left, right) = _boxes(height, int(height * scale)), _boxes(width, int(width * scale))
        # Sums over rectangles are differences of the summed-area table at their corners.
        table = np.asarray(cv2.integral(image)).reshape(height + 1, width + 1, channels)
        rows = table[bottom] - table[top]
        sums = (rows.take(right, axis=1) - rows.take(left, axis=1)).astype(np.float32)
        sums *= (1 / np.outer(bottom - top, right - left)[..., None]).astype(np.float32)
        small = np.rint(sums).astype(np.uint8)
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(large, np.uint8).reshape(image.shape)


@lru_cache(maxsize=64)
def _boxes(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where ``count`` boxes of whole pixels begin and end on a line of ``length`` pixels.

    A pixel belongs to the box that its middle lies in. The sums are Pillow's, in the same order: where a
    middle falls on an edge, their rounding decides.
    """
    import numpy as np

    scale = length / count
    centre = (np.arange(count) + 0.5) * scale
    first = (centre - 0.5 * scale + 0.5).astype(np.intp)
    last = (centre + 0.5 * scale + 0.5).astype(np.intp) - 1
    first += (first - centre + 0.5) * (1 / scale) <= -0.5
    last -= (last - centre + 0.5) * (1 / scale) > 0.5
    return first, last + 1
