"""Zoom blur: the camera moves towards the scene while the shutter is open."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.kernels import GUARD
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ZoomBlur(Corruption):
    """Mean of the image and of enlarged copies of its centre (Hendrycks & Dietterich 2019).

    Every copy is interpolated linearly, with the corners of the cut-out on the corners of the copy. The clean
    image counts twice: once as itself and once as the copy with factor 1, as in the published scripts.
    """

    kind: Literal["zoom_blur"] = "zoom_blur"
    group = "blur"
    purpose: ClassVar[str] = "blur of a camera that moves towards the scene"

    ZOOMS: ClassVar[dict[Table, tuple[tuple[float, int], ...]]] = {
        "imagenet_c": ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)),
        "cifar_c": ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
        "tiny_imagenet_c": ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
    }
    """Step between zoom factors, and how many factors there are from 1 on."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Add the copies up, one affine warp each."""
        import cv2
        import numpy as np

        step, count = self.ZOOMS[self.table][self.severity - 1]
        height, width = image.shape[:2]
        clean = image.astype(np.float32).reshape(height, width, -1)
        total = 2 * clean
        # The last digit decides where a cut-out ends, so round as the published np.arange(1, ...).
        rounded_step = (1 + step) - 1
        for index in range(1, count):
            scale_y, top = _axis(height, 1 + index * rounded_step)
            scale_x, left = _axis(width, 1 + index * rounded_step)
            copy = cv2.warpAffine(
                clean,
                np.array([[scale_x, 0, left], [0, scale_y, top]]),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            total += copy.reshape(total.shape)
        total *= 1 / (count + 1)
        return truncate(total, guard=GUARD)


def _axis(size: int, zoom: float) -> tuple[float, int]:
    """Return the step in the image per pixel of the copy, and the cut-out's first pixel."""
    cut = ceil(size / zoom)
    return (cut - 1) / (round(cut * zoom) - 1), (size - cut) // 2
