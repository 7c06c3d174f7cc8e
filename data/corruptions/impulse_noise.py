"""Impulse noise: dead and saturated pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import blocks, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImpulseNoise(Corruption):
    """Salt and pepper, drawn for every pixel and channel on its own (Hendrycks & Dietterich 2019).

    A value is replaced with probability p, by 0 or 255 with equal chances. The probabilities are exact
    to 2**-17.
    """

    kind: Literal["impulse_noise"] = "impulse_noise"
    group = "noise"
    stochastic = True
    purpose: ClassVar[str] = "salt-and-pepper noise (bit errors)"

    AMOUNTS: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.03, 0.06, 0.09, 0.17, 0.27),
        "cifar_c": (0.01, 0.02, 0.03, 0.05, 0.07),
        "tiny_imagenet_c": (0.01, 0.02, 0.05, 0.08, 0.14),
    }
    """Probability that a value is replaced."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Replace the values whose random word falls into the lowest (0) or highest (255) part."""
        import numpy as np

        low = round(self.AMOUNTS[self.table][self.severity - 1] / 2 * 65536)
        flat = image.reshape(-1)
        out = np.empty_like(flat)
        for part in blocks(flat.size):
            word = words(rng, part.stop - part.start)
            # All bits set where the condition holds: cheap byte logic instead of two masked writes.
            kept = np.negative((word >= low).view(np.uint8))
            salt = np.negative((word >= 65536 - low).view(np.uint8))
            kept &= flat[part]
            np.bitwise_or(kept, salt, out=out[part])
        return out.reshape(image.shape)
