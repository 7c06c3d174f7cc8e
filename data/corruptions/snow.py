"""Snow: blown flakes over a whitened image."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.fields import normal
from clearsight.data.corruptions.kernels import line, streak
from clearsight.data.corruptions.pixels import like, truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Fall(NamedTuple):
    """One severity of snow: a field N(mean, spread), enlarged, cut off below, blurred along the wind."""

    mean: float
    spread: float
    enlarge: float
    floor: float
    radius: int
    sigma: float
    keep: float


class Snow(Corruption):
    """Whiten the image, then add streaks: enlarged noise above a threshold, blurred along a random wind.

    The wind's angle is uniform within 45 degrees of straight down. The layer is added twice, the second time
    turned by 180 degrees. The streaks are weighted sums of whole-pixel shifts with repeated borders.
    """

    kind: Literal["snow"] = "snow"
    revision: ClassVar[int] = 2
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "streaks of falling snow"
    FALL: ClassVar[dict[str, tuple[Fall, ...]]] = {
        "imagenet_c": (
            Fall(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            Fall(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            Fall(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            Fall(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            Fall(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "cifar_c": (
            Fall(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            Fall(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            Fall(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            Fall(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            Fall(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "tiny_imagenet_c": (
            Fall(0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            Fall(0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            Fall(0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            Fall(0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            Fall(0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
    }
    """Mean and spread of the noise, enlargement, threshold, radius and sigma of the streaks, keep."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the snowy image."""
        import cv2
        import numpy as np

        fall = self.FALL[self.table][self.severity - 1]
        height, width, channels = image.shape
        flakes = _flakes(fall, height, width, rng)
        # The streak's far end weighs less than a thousandth of a grey level.
        taps = line(fall.radius, fall.sigma, rng.uniform(-135, -45), height, width)
        streaks = streak(flakes, [tap for tap in taps if tap[2] > 2e-6])
        layer = np.rint(streaks * 255).astype(np.uint8)
        snow = cv2.add(layer, cv2.rotate(layer, cv2.ROTATE_180))
        pixels = image.astype(np.float32)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if channels == 3 else pixels[..., 0]
        glare = (grey * 1.5 + 127.5) * (1 - fall.keep)
        white = np.multiply(pixels, np.float32(fall.keep))
        white += like(glare, image)
        np.maximum(white, pixels, out=white)
        full = snow[..., None] if channels == 1 else cv2.merge([snow, snow, snow])
        return np.asarray(cv2.add(truncate(white), full), np.uint8).reshape(image.shape)


def _flakes(fall: Fall, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the field in [0, 1] before the wind: enlarged noise, 0 below the threshold."""
    import numpy as np

    (up, down, row), (left, right, column) = _between(height, fall.enlarge), _between(width, fall.enlarge)
    coarse = int(down[-1]) + 1, int(right[-1]) + 1
    noise = normal(rng, coarse[0] * coarse[1]).reshape(coarse) * np.float32(fall.spread)
    noise += np.float32(fall.mean)
    tall = noise[up] + (noise[down] - noise[up]) * row[:, None]
    start = tall.take(left, axis=1)
    field = start + (tall.take(right, axis=1) - start) * column
    field[field < fall.floor] = 0
    return np.asarray(np.minimum(field, 1), np.float32)


@lru_cache(maxsize=64)
def _between(length: int, factor: float) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return each pixel's two neighbours and the second one's weight: linear enlargement, corners aligned.

    What is too large is trimmed on both sides, as in the published scripts: a first row on the grid itself
    would hold three times the flakes of the second.
    """
    import numpy as np

    points = int(np.ceil(length / factor))
    large = round(points * factor)
    place = (np.arange(length) + (large - length) // 2) * (points - 1) / max(1, large - 1)
    first = place.astype(np.intp)
    second = np.minimum(first + 1, points - 1)
    return first, second, (place - first).astype(np.float32)
