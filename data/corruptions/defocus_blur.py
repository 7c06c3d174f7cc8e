"""Defocus blur: the lens is focused elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.kernels import DIRECT, GUARD, disk
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DefocusBlur(Corruption):
    """Convolution with a disk whose rim is softened (Hendrycks & Dietterich 2019).

    The image is mirrored at its border (without repeating the border pixels). Disks wider than about eleven
    pixels are applied in the frequency domain. The published disks of radius 8 and 10 do not sum to one (see
    `disk`), so that these severities are also about 1 % brighter.
    """

    kind: Literal["defocus_blur"] = "defocus_blur"
    group = "blur"
    purpose: ClassVar[str] = "disk blur of a lens out of focus"

    DISKS: ClassVar[dict[Table, tuple[tuple[float, float], ...]]] = {
        "imagenet_c": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "cifar_c": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "tiny_imagenet_c": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    }
    """Radius of the disk and standard deviation of its rim, in pixels."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Filter all channels with one disk."""
        import cv2
        import numpy as np

        psf = disk(*self.DISKS[self.table][self.severity - 1])
        if psf.size < DIRECT:
            blurred = cv2.filter2D(image.astype(np.float32), -1, psf)
            return truncate(np.asarray(blurred, np.float32), guard=GUARD).reshape(image.shape)
        # The transform is cheaper on bytes; OpenCV rounds, half a level less makes truncation of it.
        return np.asarray(cv2.filter2D(image, -1, psf, delta=-0.499), np.uint8).reshape(image.shape)
