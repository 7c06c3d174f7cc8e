"""Random fields for corruptions: 16-bit words, and normal numbers looked up by them.

A word costs about a tenth of a number from the ziggurat or Poisson samplers, and the images are 8-bit
in the end: an error of at most 2**-16 in a probability is one value in an image of 150 x 150 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 16
"""Values processed together: few enough that their buffers stay in the CPU's cache."""


def blocks(count: int) -> Iterator[slice]:
    """Yield slices of at most `BLOCK` values that cover ``count`` values in order."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def words(rng: np.random.Generator, count: int) -> NDArray[np.uint16]:
    """Return ``count`` independent uniform 16-bit words, four from each 64-bit draw."""
    import numpy as np

    draws = rng.integers(0, 2**64 - 1, -(-count // 4), dtype=np.uint64, endpoint=True)
    return draws.view(np.uint16)[:count]


@lru_cache(maxsize=1)
def normal_table() -> NDArray[np.float32]:
    """Return the means of 65,536 equally likely slices of the standard normal distribution, ascending.

    The mean of the table is 0, its variance is scaled to 1 (from 0.9999985), its largest entry is 4.39. Its
    distribution function differs from the normal one by less than 2**-16 everywhere.
    """
    import numpy as np

    from clearsight.data.corruptions.normal_quantile import normal_quantile

    count = 1 << 16
    edges = normal_quantile(np.arange(1, count) / count)
    density = np.concatenate(([0.0], np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi), [0.0]))
    means = -np.diff(density) * count
    table = np.asarray(0.5 * (means - means[::-1]) / means.std(), np.float32)
    table.flags.writeable = False
    return table


def normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float32]:
    """Return independent standard normal numbers (see `normal_table` for their accuracy)."""
    count = shape if isinstance(shape, int) else prod(shape)
    return normal_table().take(words(rng, count), mode="wrap").reshape(shape)
