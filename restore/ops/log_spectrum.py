"""What a search for blur reads of an image's spectrum, and how that of a sharp photograph falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_SIDE, LARGEST_SIDE = 64, 1024
"""Smaller images have too few frequencies; of larger ones the middle is looked at. In pixels."""
FLAT = 1e-4
"""Standard deviation of the luma below which an image shows nothing."""
SLOPES = (1.5, 2.0, 2.5, 3.0, 3.5)
"""Powers of the frequency with which a sharp photograph's spectrum may fall; 2 is usual (Field 1987)."""
FLOORS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Power of the noise, in that of the sharp photograph at a tenth of a cycle per pixel."""


def middle(luma: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """Return the part of an image (h, w) that is looked at; None where it is too small or shows nothing."""
    h, w = luma.shape
    if min(h, w) < LEAST_SIDE:
        return None
    high, wide = min(h, LARGEST_SIDE), min(w, LARGEST_SIDE)
    top, left = (h - high) // 2, (w - wide) // 2
    seen = np.asarray(luma[top : top + high, left : left + wide], dtype=np.float64)
    return None if seen.std() < FLAT else seen


def log_power(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the power spectrum, (h, w // 2 + 1), without that of the mean."""
    # Without a window, the jump from one border to the opposite one hides everything.
    window = np.outer(np.hanning(seen.shape[0]), np.hanning(seen.shape[1]))
    power = np.abs(np.fft.rfft2((seen - seen.mean()) * window)) ** 2
    return np.asarray(np.log(power + 1e-12 * power.max()))
