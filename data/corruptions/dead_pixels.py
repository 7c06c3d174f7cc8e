"""Dead pixels: photosites and columns of a sensor that always say black or always say white."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOT = 0.5
"""Share of the defects that are stuck at white; the others are black."""


class DeadPixels(Corruption):
    """Pixels, and whole columns, stuck at black or white in every channel.

    Impulse noise, in contrast, strikes each channel by itself and knows no columns. Where the defects lie is
    drawn for each image, so that a study does not depend on one sensor. It is no part of ImageNet-C.
    """

    kind: Literal["dead_pixels"] = "dead_pixels"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "pixels and columns of the sensor stuck at black or white"

    SHARES: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.01, 0.03, 0.06, 0.1, 0.15),
        "cifar_c": (0.005, 0.01, 0.02, 0.04, 0.06),
        "tiny_imagenet_c": (0.005, 0.01, 0.02, 0.04, 0.08),
    }
    """Chance of a pixel to be dead by itself."""
    COLUMNS: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.0, 0.002, 0.005, 0.01, 0.02),
        "cifar_c": (0.0, 0.01, 0.02, 0.03, 0.04),
        "tiny_imagenet_c": (0.0, 0.005, 0.01, 0.02, 0.03),
    }
    """Chance of a column to be dead."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the image as such a sensor gives it."""
        place = self.severity - 1
        return stuck(image, self.SHARES[self.table][place], self.COLUMNS[self.table][place], rng)[0]


def stuck(
    image: NDArray[np.uint8], share: float, columns: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a copy of the image (h, w, c) with dead pixels and columns, and their mask (h, w)."""
    import numpy as np

    height, width = image.shape[:2]
    drawn, white = rng.uniform(size=(height, width)), rng.uniform(size=(height, width)) < HOT
    dead_columns, white_columns = rng.uniform(size=width) < columns, rng.uniform(size=width) < HOT
    white = np.where(dead_columns, white_columns, white)
    mask = (drawn < share) | dead_columns
    values = np.where(white, np.uint8(255), np.uint8(0))[:, :, None]
    return np.where(mask[:, :, None], values, image), mask
