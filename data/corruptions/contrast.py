"""Contrast: distances from the mean of each channel shrink."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.pixels import lookup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Contrast(Corruption):
    """Scale every channel's distance from its mean over the image."""

    kind: Literal["contrast"] = "contrast"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    purpose: ClassVar[str] = "low contrast about the mean of each channel"
    FACTOR: ClassVar[dict[str, tuple[float, ...]]] = {
        "imagenet_c": (0.4, 0.3, 0.2, 0.1, 0.05),
        "cifar_c": (0.75, 0.5, 0.4, 0.3, 0.15),
        "tiny_imagenet_c": (0.4, 0.3, 0.2, 0.1, 0.05),
    }
    """What is left of the distance from the mean."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the flatter image."""
        import cv2
        import numpy as np

        factor = self.FACTOR[self.table][self.severity - 1]
        mean = np.array(cv2.mean(image)[: image.shape[2]])
        table = (np.arange(256.0)[:, None] - mean) * factor + mean
        return lookup(image, table.clip(0, 255).astype(np.uint8))
