"""Shot noise: light arrives in photons."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import blocks, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ShotNoise(Corruption):
    """Poisson noise, independent in every pixel and channel (Hendrycks & Dietterich 2019).

    ``y = Poisson(c x) / c`` clipped to [0, 1] and truncated to 8 bits. There are only 256 inputs and at most
    256 outputs, so that the noise is drawn from a table (Walker's alias method, 1977), with probabilities
    that are exact to 2**-16.
    """

    kind: Literal["shot_noise"] = "shot_noise"
    group = "noise"
    stochastic = True
    purpose: ClassVar[str] = "Poisson noise (few photons)"

    PHOTONS: ClassVar[dict[Table, tuple[int, ...]]] = {
        "imagenet_c": (60, 25, 12, 5, 3),
        "cifar_c": (500, 250, 100, 75, 50),
        "tiny_imagenet_c": (250, 100, 50, 30, 15),
    }
    """Expected photons of a white pixel."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw every value from its level's distribution."""
        import numpy as np

        bits, entries = alias_table(self.PHOTONS[self.table][self.severity - 1])
        flat = image.reshape(-1)
        out = np.empty_like(flat)
        for part in blocks(flat.size):
            word = words(rng, part.stop - part.start)
            # High bits choose the slot, low bits one of the two grey levels in it.
            slot = flat[part].astype(np.uint16) << bits
            slot |= word >> (16 - bits)
            word &= (1 << (16 - bits)) - 1
            entry = entries.take(slot, mode="wrap")
            second = (word >= entry >> 16).view(np.uint8)
            entry >>= second << 3
            out[part] = entry
        return out.reshape(image.shape)


def level_counts(photons: int) -> NDArray[np.int64]:
    """Return how many of 65,536 equally likely words give which output, shape (256 inputs, 256 outputs)."""
    import numpy as np
    from scipy.special import gammaln, xlogy

    events, mean = np.arange(photons), np.arange(256)[:, None] / 255 * photons
    chance = np.exp(xlogy(events, mean) - mean - gammaln(events + 1))
    chance = np.column_stack([chance, np.clip(1 - chance.sum(axis=1), 0, 1)])
    outputs = (np.arange(photons + 1) / photons * 255).astype(np.uint8)
    exact = np.zeros((256, 256))
    np.add.at(exact.T, outputs, chance.T)
    exact *= 65536 / exact.sum(axis=1, keepdims=True)
    counts = np.floor(exact).astype(np.int64)
    # Largest remainders get the words that rounding down left over.
    order = np.argsort(counts - exact, axis=1, kind="stable")
    left_over = 65536 - counts.sum(axis=1, keepdims=True)
    np.put_along_axis(
        counts, order, np.take_along_axis(counts, order, 1) + (np.arange(256) < left_over), axis=1
    )
    return counts


@lru_cache(maxsize=16)
def alias_table(photons: int) -> tuple[int, NDArray[np.uint32]]:
    """Return the number of slot bits b and 256 * 2**b entries: share << 16 | second level << 8 | first level.

    A slot holds 2**(16 - b) words, ``share`` of which give the first level and the others the second.
    """
    import numpy as np

    counts = level_counts(photons)
    bits = max(1, int((counts > 0).any(axis=0).sum() - 1).bit_length())
    entries = np.zeros((256, 1 << bits), np.uint32)
    for row, count in zip(entries, counts, strict=True):
        row[:] = slots(count, bits)
    entries.flags.writeable = False
    return bits, entries.reshape(-1)


def slots(count: NDArray[np.int64], bits: int) -> list[int]:
    """Share one level's 65,536 words out into 2**bits slots of two grey levels (Vose 1991), in integers."""
    room = 1 << (16 - bits)
    items = [(int(level), int(count[level])) for level in count.nonzero()[0]]
    light = [item for item in items if item[1] < room]
    heavy = [item for item in items if item[1] >= room]
    slots = []
    for _ in range(1 << bits):
        # What is left fills the remaining slots exactly, so that a heavy item is left in every round.
        first, share = light.pop() if light else (heavy[-1][0], 0)
        second, left = heavy.pop()
        left -= room - share
        if left:
            (heavy if left >= room else light).append((second, left))
        slots.append(share << 16 | second << 8 | first)
    return slots
