"""Fog: a plasma fractal blended over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.fields import words
from clearsight.data.corruptions.pixels import like, truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Fog(Corruption):
    """Add a height map in [0, 1] (diamond-square plasma), then scale back to the image's largest value."""

    kind: Literal["fog"] = "fog"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "patchy fog from a diamond-square height map"
    PLASMA: ClassVar[dict[str, tuple[tuple[float, float], ...]]] = {
        "imagenet_c": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "cifar_c": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "tiny_imagenet_c": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    }
    """Weight of the fog, and the factor by which its roughness falls from one scale to the next finer."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the foggy image."""
        import numpy as np

        weight, decay = self.PLASMA[self.table][self.severity - 1]
        height, width = image.shape[:2]
        side = 1 << (max(height, width) - 1).bit_length()
        layer = plasma(side, decay, rng)[:height, :width]
        largest = int(image.max())
        scale = largest / (largest + 255 * weight)
        out = np.multiply(image, np.float32(scale), dtype=np.float32)
        out += like(layer * np.float32(255 * weight * scale), image)
        # Float32 rounding must not push a whole number, the largest value above all, below itself.
        out += 1e-4
        return truncate(out)


def plasma(side: int, decay: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a periodic diamond-square height map (Fournier, Fussell & Carpenter 1982).

    Args:
        side: height and width, a power of two.
        decay: the amplitude of the noise falls by ``decay ** 2`` from one scale to the next finer.
        rng: gives three uniform 16-bit words a point of every coarser grid.

    Returns:
        float32 (side, side), lowest value 0 and highest 1.
    """
    import numpy as np

    grid, amplitude, drawn = np.zeros((1, 1), np.float32), 1.0, words(rng, side * side - 1)
    while len(grid) < side:
        count = len(grid)
        now, drawn = drawn[: 3 * count * count].reshape(3, count, count), drawn[3 * count * count :]
        noise = now * np.float32(2 * amplitude / 65535) - np.float32(amplitude)
        fine = np.empty((count, 2, count, 2), np.float32)
        across, down = _next(grid, 1), _next(grid, 0)
        # A point in the middle of four neighbours is their mean plus noise, first squares, then diamonds.
        centre = 0.25 * (grid + across + down + _next(down, 1)) + noise[0]
        fine[:, 0, :, 0] = grid
        fine[:, 1, :, 1] = centre
        fine[:, 0, :, 1] = 0.25 * (grid + across + centre + _last(centre, 0)) + noise[1]
        fine[:, 1, :, 0] = 0.25 * (grid + down + centre + _last(centre, 1)) + noise[2]
        grid, amplitude = fine.reshape(2 * count, 2 * count), amplitude / decay**2
    grid -= grid.min()
    grid /= grid.max()
    return grid


def _next(grid: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return each point's neighbour after it along an axis, round the edge."""
    import numpy as np

    if axis == 0:
        return np.concatenate([grid[1:], grid[:1]])
    return np.concatenate([grid[:, 1:], grid[:, :1]], axis=1)


def _last(grid: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return each point's neighbour before it along an axis, round the edge."""
    import numpy as np

    if axis == 0:
        return np.concatenate([grid[-1:], grid[:-1]])
    return np.concatenate([grid[:, -1:], grid[:, :-1]], axis=1)
