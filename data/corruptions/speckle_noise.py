"""Speckle noise: noise that grows with the brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import blocks, normal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SpeckleNoise(Corruption):
    """Multiplicative Gaussian noise, independent in every pixel and channel (Hendrycks & Dietterich 2019).

    ``y = x + s x n`` with standard normal n, clipped to [0, 1] and truncated to 8 bits.
    """

    kind: Literal["speckle_noise"] = "speckle_noise"
    group = "extra"
    stochastic = True
    purpose: ClassVar[str] = "multiplicative Gaussian noise (coherent imaging)"

    SCALES: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.15, 0.2, 0.35, 0.45, 0.6),
        "cifar_c": (0.06, 0.1, 0.12, 0.16, 0.2),
        "tiny_imagenet_c": (0.15, 0.2, 0.25, 0.3, 0.35),
    }
    """Standard deviation of the noise relative to the pixel."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Multiply with a noise field, block by block."""
        import cv2
        import numpy as np

        scale = self.SCALES[self.table][self.severity - 1]
        flat = image.reshape(-1, 1)
        out = np.empty_like(flat)
        for part in blocks(flat.size):
            clean = flat[part].astype(np.float32)
            field = normal(rng, clean.shape)
            field *= clean
            # OpenCV rounds and saturates; half a level less makes truncation of it.
            out[part] = cv2.addWeighted(clean, 1, field, scale, -0.5, dtype=cv2.CV_8U)
        return out.reshape(image.shape)
