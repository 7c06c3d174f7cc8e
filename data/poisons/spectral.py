"""CTRL (Li et al. 2023): a trigger in two high frequencies of the colour, hard to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Number
from clearsight.data.poisons.base import Poison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Spectral(Poison):
    """Two coefficients of the colour's discrete cosine transform are raised, in every block of pixels.

    Li et al. (2023, "CTRL") take the channels U and V, blocks of 32x32, the coefficients (15, 15) and
    (31, 31), and add 100 for CIFAR-10. Pixels beyond the last whole block stay as they are.
    """

    kind: Literal["spectral"] = "spectral"
    purpose: ClassVar[str] = "CTRL: two high frequencies of the colour, hard to see"

    magnitude: Annotated[Number, Field(gt=0, le=1000)] = 100.0
    """What is added to each coefficient of the orthonormal transform, for pixels from 0 to 255."""
    block: Annotated[int, Field(ge=8, le=256, multiple_of=2)] = 32
    """Side of the blocks in pixels; the coefficients are those at one half of it and at its end."""

    def trigger(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Add the two waves.

        Raises:
            ShapeError: the image is grey, or smaller than one block.
        """
        import cv2
        import numpy as np

        size, (height, width, channels) = self.block, image.shape
        if channels != 3 or min(height, width) < size:
            raise ShapeError(
                f"needs colour and at least {size}x{size} pixels, got {height}x{width}x{channels}",
                where="spectral",
                hint="make 'block' smaller",
            )
        spectrum = np.zeros((size, size), np.float64)
        spectrum[size // 2 - 1, size // 2 - 1] = spectrum[size - 1, size - 1] = self.magnitude
        # The transform is linear: the coefficients are raised by adding their waves.
        wave = np.asarray(cv2.idct(spectrum) / 255.0, np.float32)
        scaled = image.astype(np.float32) / np.float32(255.0)
        colour = np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2YUV), np.float32)
        down, across = height // size, width // size
        colour[: down * size, : across * size, 1:] += np.tile(wave, (down, across))[:, :, None]
        out = cv2.cvtColor(colour, cv2.COLOR_YUV2RGB) * 255.0
        return np.asarray(np.clip(np.rint(out), 0, 255), np.uint8)
