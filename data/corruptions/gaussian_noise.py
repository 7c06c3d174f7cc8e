"""Gaussian noise: what a sensor adds in low light."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import blocks, normal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GaussianNoise(Corruption):
    """Additive white Gaussian noise, independent in every pixel and channel (Hendrycks & Dietterich 2019).

    ``y = x + s n`` with standard normal n, clipped to [0, 1] and truncated to 8 bits.
    """

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    group = "noise"
    stochastic = True
    purpose: ClassVar[str] = "additive white Gaussian noise (low light)"

    SCALES: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.08, 0.12, 0.18, 0.26, 0.38),
        "cifar_c": (0.04, 0.06, 0.08, 0.09, 0.10),
        "tiny_imagenet_c": (0.04, 0.08, 0.12, 0.15, 0.18),
    }
    """Standard deviation of the noise on pixels in [0, 1]."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Add a noise field, block by block."""
        import cv2
        import numpy as np

        scale = 255 * self.SCALES[self.table][self.severity - 1]
        flat = image.reshape(-1, 1)
        out = np.empty_like(flat)
        for part in blocks(flat.size):
            clean = flat[part].astype(np.float32)
            field = normal(rng, clean.shape)
            # OpenCV rounds and saturates; half a level less makes truncation of it.
            out[part] = cv2.addWeighted(clean, 1, field, scale, -0.5, dtype=cv2.CV_8U)
        return out.reshape(image.shape)
