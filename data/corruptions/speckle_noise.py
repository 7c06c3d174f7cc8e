"""Speckle noise: noise that grows with the brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from data.corruptions.base import Corruption, Table
from data.corruptions.fields import normal

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
    }
    """Standard deviation of the noise relative to the pixel."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Multiply with one noise field."""
        import cv2
        import numpy as np

        clean = image.astype(np.float32)
        field = normal(rng, image.shape)
        field *= clean
        # OpenCV rounds and saturates; half a level less makes truncation of it.
        scale = self.SCALES[self.table][self.severity - 1]
        noisy = cv2.addWeighted(clean, 1, field, scale, -0.5, dtype=cv2.CV_8U)
        return np.asarray(noisy, np.uint8).reshape(image.shape)
