"""Low light: an exposure so short that an image is dark, noisy and coarse in its grey levels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import blocks, words
from clearsight.data.corruptions.shot_noise import slots

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHITE = 4000.0
"""Electrons of a white pixel at full exposure: the full well of a telephone camera's pixel of 1 um."""
READ_NOISE = 3.0
"""Standard deviation in electrons that reading such a pixel adds."""


class LowLight(Corruption):
    """A sensor that gets ``1 / factor`` of the light, without any brightening afterwards.

    The image is treated as a well-lit scene: its sRGB values are turned into linear light x (IEC 61966-2-1),
    the sensor counts ``Poisson(WHITE x / factor)`` electrons plus normal read noise, and the count over
    ``WHITE`` goes back to sRGB, is clipped and rounded to 8 bits. Shot noise, read noise and the few grey
    levels that are left are what an enhancer raises along with the image. Every channel of every pixel is
    drawn by itself (no demosaicking), from a table that is exact to 2**-16 in every cumulative probability.
    It is no part of ImageNet-C.
    """

    kind: Literal["low_light"] = "low_light"
    group = "weather"
    stochastic = True
    purpose: ClassVar[str] = "too little light: dark, with the sensor's noise"

    FACTORS: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (16.0, 64.0, 128.0, 256.0, 512.0),
        "cifar_c": (3.0, 6.0, 12.0, 24.0, 48.0),
        "tiny_imagenet_c": (3.0, 6.0, 12.0, 24.0, 48.0),
    }
    """How many times less light than a well-exposed image gets.

    Chosen so that classifiers that were trained on normal light fall step by step: EfficientNet-Lite0 on
    Imagenette (224 px) from 99 % to 93 % at 64, 80 % at 128 and 49 % at 384, a small network on 64 px from
    77 % to 67 % at 4, 51 % at 8, 28 % at 16 and 8 % at 48.
    """

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw every value from its level's distribution."""
        import numpy as np

        bits, entries = alias_table(self.FACTORS[self.table][self.severity - 1])
        flat = image.reshape(-1)
        out = np.empty_like(flat)
        for part in blocks(flat.size):
            word = words(rng, part.stop - part.start)
            # High bits choose the slot, low bits one of the two grey levels in it.
            slot = flat[part].astype(np.int32) << bits
            slot |= word >> (16 - bits)
            low = word & ((1 << (16 - bits)) - 1)
            entry = entries.take(slot, mode="wrap")
            out[part] = np.where(low >= entry >> 16, entry >> 8, entry) & 255
        return out.reshape(image.shape)


def to_linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    import numpy as np

    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def level_counts(factor: float) -> NDArray[np.int64]:
    """Return how many of 65,536 equally likely words give which output, shape (256 inputs, 256 outputs)."""
    import numpy as np
    from scipy.special import gammaln, ndtr, xlogy

    mean = to_linear(np.arange(256) / 255)[:, None] * WHITE / factor
    events = np.arange(int(WHITE / factor + 12 * np.sqrt(WHITE / factor)) + 20)
    chance = np.exp(xlogy(events, mean) - mean - gammaln(events + 1))
    # An output is at most j where the count stays below the middle between the levels j and j + 1.
    edges = to_linear((np.arange(255) + 0.5) / 255) * WHITE
    below = chance @ ndtr((edges - events[:, None]) / READ_NOISE)
    # Rounded cumulative counts end at 65,536 without any correction.
    ends = np.rint(below / chance.sum(axis=1, keepdims=True) * 65536).astype(np.int64)
    counts: NDArray[np.int64] = np.diff(ends, axis=1, prepend=0, append=65536)
    return counts


@lru_cache(maxsize=10)
def alias_table(factor: float) -> tuple[int, NDArray[np.uint32]]:
    """Return the table that words are looked up in: see its twin in `shot_noise`."""
    import numpy as np

    counts = level_counts(factor)
    bits = max(1, int((counts > 0).any(axis=0).sum() - 1).bit_length())
    entries = np.array([slots(count, bits) for count in counts], np.uint32).reshape(-1)
    entries.flags.writeable = False
    return bits, entries
