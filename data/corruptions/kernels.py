"""Filters that several corruptions share: Gaussian, disk and line blur with float32 sums, and truncation.

The published scripts compute in float64 and store ``np.uint8(255 * x)``, which drops the fraction. All
filters here return float32 grey levels in [0, 255], and `truncate` with `GUARD` drops the fraction likewise.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, cos, exp, radians, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIRECT = 130
"""OpenCV sums float32 kernels of fewer taps than this directly, larger ones through a slower transform."""
GUARD = 1e-3
"""Added before truncation, so that float32 sums do not lower even areas by one grey level."""


@lru_cache(maxsize=64)
def gaussian_taps(sigma: float) -> NDArray[np.float32]:
    """Return a normalised Gaussian cut at four standard deviations, shape (2 * round(4 sigma) + 1,)."""
    import numpy as np

    radius = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    normalised = np.asarray(taps / taps.sum(), np.float32)
    normalised.flags.writeable = False
    return normalised


def smooth(image: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """Blur with a Gaussian; the border pixels are replicated.

    Args:
        image: uint8 (h, w, c).
        sigma: standard deviation in pixels.

    Returns:
        float32 grey levels, shape of the image.
    """
    import cv2
    import numpy as np

    taps = gaussian_taps(sigma)
    if taps.size == 1:
        return image.astype(np.float32)
    blurred = cv2.sepFilter2D(image, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(image.shape)


@lru_cache(maxsize=64)
def disk(radius: float, softness: float) -> NDArray[np.float32]:
    """Return the point spread function of a defocused lens: a disk with a softened rim, without zero margin.

    Args:
        radius: of the disk, in pixels.
        softness: standard deviation in pixels of the Gaussian that softens the rim. Its window is 3x3 up to
            radius 8 and 5x5 beyond.

    Returns:
        float32 (k, k), k odd. The sum is 1, but for radii of 8 and more about 1.01: the published scripts
        mirror the rim at the disk's bounding box when they soften it, and so does this.
    """
    import cv2
    import numpy as np

    reach, window = (8, 3) if radius <= 8 else (ceil(radius), 5)
    axis = np.arange(-reach, reach + 1)
    inside = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.float32)
    psf = cv2.GaussianBlur(inside / inside.sum(), (window, window), softness)
    used = np.flatnonzero(psf.any(axis=0))
    psf = np.ascontiguousarray(psf[used[0] : used[-1] + 1, used[0] : used[-1] + 1])
    psf.flags.writeable = False
    return psf


Tap = tuple[int, int, float]
"""Row offset, column offset, weight."""


@lru_cache(maxsize=64)
def one_sided_gaussian(radius: int, sigma: float) -> tuple[float, ...]:
    """Return 2 * radius + 1 falling Gaussian weights that sum to 1, the strongest first."""
    weights = [exp(-0.5 * (i / sigma) ** 2) for i in range(2 * radius + 1)]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def line(radius: int, sigma: float, angle: float, height: int, width: int) -> list[Tap]:
    """Return the taps of a motion streak that starts at the pixel and fades out.

    Args:
        radius: the streak is 2 * radius + 1 pixels long.
        sigma: standard deviation in pixels of the fading weights.
        angle: direction in degrees; 0 points right, 90 down.
        height: of the image. The streak is cut where it would be longer than the image, and its weights
            then sum to less than 1 (as in imagecorruptions).
        width: of the image.
    """
    down, right = sin(radians(angle)), cos(radians(angle))
    taps: list[Tap] = []
    for i, weight in enumerate(one_sided_gaussian(radius, sigma)):
        row, column = ceil(i * down - 0.5), ceil(i * right - 0.5)
        if abs(row) >= height or abs(column) >= width:
            break
        taps.append((row, column, weight))
    return taps


def streak(image: NDArray[np.uint8 | np.float32], taps: list[Tap]) -> NDArray[np.float32]:
    """Correlate an image with a few taps; the border pixels are replicated.

    The weighted mean grows tap by tap. That is quicker than a filter with a large and nearly empty kernel,
    which OpenCV applies in the frequency domain.

    Args:
        image: uint8 or float32 (h, w, c).
        taps: at least one, with positive weights.

    Returns:
        float32, shape of the image.
    """
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    rows, columns = [0, *(tap[0] for tap in taps)], [0, *(tap[1] for tap in taps)]
    top, left = -min(rows), -min(columns)
    padded = cv2.copyMakeBorder(image, top, max(rows), left, max(columns), cv2.BORDER_REPLICATE)
    mean = np.zeros(image.shape, np.float32)
    total = 0.0
    for row, column, weight in taps:
        total += weight
        y, x = row + top, column + left
        view = padded[y : y + height, x : x + width]
        cv2.accumulateWeighted(view.reshape(height, width, -1), mean, weight / total)
    if total < 1 - 1e-6:
        mean *= np.float32(total)
    return mean
