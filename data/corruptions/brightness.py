"""Brightness: a constant added to the V of HSV."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.pixels import lookup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Brightness(Corruption):
    """Add a constant to the V (largest channel) of every pixel, at equal hue and saturation.

    At equal H and S the three channels keep their ratios, so the detour through HSV is one multiplication by
    (V + c) / V. A black pixel has no hue and turns grey.
    """

    kind: Literal["brightness"] = "brightness"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    purpose: ClassVar[str] = "over-exposure: a constant on the V of HSV"
    ADDED: ClassVar[dict[str, tuple[float, ...]]] = {
        "imagenet_c": (0.1, 0.2, 0.3, 0.4, 0.5),
        "cifar_c": (0.05, 0.1, 0.15, 0.2, 0.3),
        "tiny_imagenet_c": (0.1, 0.2, 0.3, 0.4, 0.5),
    }
    """What is added to V, as a share of the range."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the brighter image."""
        import cv2
        import numpy as np

        table = _brighter(self.ADDED[self.table][self.severity - 1])
        if image.shape[2] == 1:
            return lookup(image, table.diagonal().copy())
        red, green, blue = cv2.split(image)
        row = np.multiply(cv2.max(cv2.max(red, green), blue), 256, dtype=np.int32)
        flat = table.reshape(-1)
        return np.asarray(cv2.merge([flat[row + channel] for channel in (red, green, blue)]))


@cache
def _brighter(added: float) -> NDArray[np.uint8]:
    """Return the table [V, x] -> new x for every channel value x of a pixel whose largest is V."""
    import numpy as np

    value = np.arange(256.0)[:, None]
    ratio = np.minimum(value + 255 * added, 255) / np.maximum(value, 1)
    table = np.minimum(np.arange(256.0) * ratio + 1e-6, 255)
    table[0] = 255 * added + 1e-6
    return np.asarray(table, np.uint8)
