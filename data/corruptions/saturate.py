"""Saturate: colours paled or exaggerated in HSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.pixels import like, truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Saturate(Corruption):
    """Scale and shift the S of HSV: S' = clip(a S + b, 0, 1), at equal hue and V.

    A channel x lies V - x below the largest, and that distance is proportional to S, so HSV is never formed.
    As in the published script a grey pixel, whose hue is undefined, counts as red where b > 0. One-channel
    images have no saturation and stay as they are. Severities 1 and 2 pale the colours, 3 to 5 deepen them.
    """

    kind: Literal["saturate"] = "saturate"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "extra"
    purpose: ClassVar[str] = "colours paled (1, 2) or exaggerated (3 to 5)"
    LINE: ClassVar[dict[str, tuple[tuple[float, float], ...]]] = {
        "imagenet_c": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "cifar_c": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "tiny_imagenet_c": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    }
    """Factor a and offset b of the saturation."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the paler or more colourful image."""
        import cv2
        import numpy as np

        if image.shape[2] == 1:
            return image.copy()
        factor, offset = self.LINE[self.table][self.severity - 1]
        red, green, blue = cv2.split(image)
        value = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
        chroma = value - np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)
        # S' / S = min(a + b / S, 1 / S) with S = chroma / V.
        inverse = value / np.maximum(chroma, 1).astype(np.float32)
        ratio = np.minimum(factor + offset * inverse, inverse)
        out = np.subtract(like(value, image), image).astype(np.float32)
        out *= like(ratio, image)
        np.subtract(like(value.astype(np.float32), image), out, out=out)
        # Values that should be whole numbers must not fall below them through float32.
        out += 1e-4
        if offset > 0:
            grey = chroma == 0
            out[grey, 1:] = value[grey, None] * (1 - offset) + 1e-4
        return truncate(out)
