"""Design of regularised inverse filters: a finite kernel that undoes a known blur without raising the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = 512
"""Side of the grid of frequencies that filters are designed on."""
WIDEST = 96
"""Largest radius in pixels of a filter."""
TAIL = 2e-3
"""Share of the filter's absolute sum that may be cut off."""


def frequencies() -> NDArray[np.float64]:
    """Return the squared radial frequency of the grid in (cycles / pixel)^2, (GRID, GRID), zero first."""
    import numpy as np

    line = np.fft.fftfreq(GRID)
    return line[:, None] ** 2 + line[None, :] ** 2


def laplacian() -> NDArray[np.float64]:
    """Return the squared response of the 4-neighbour Laplacian on the grid, (GRID, GRID)."""
    import numpy as np

    line = 2.0 - 2.0 * np.cos(2.0 * np.pi * np.fft.fftfreq(GRID))
    return (line[:, None] + line[None, :]) ** 2


def inverse_filter(taps: NDArray[np.float64], penalty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the filter with response conj(H) / (|H|^2 + penalty), cut where it has died away.

    Args:
        taps: the blur, (k, k), k odd, sum 1, response H.
        penalty: non-negative, (GRID, GRID): noise-to-signal ratio (Wiener) or weighted squared response of
            the regularising operator (Tikhonov).

    Returns:
        (2 r + 1, 2 r + 1) float64 with sum 1 (the mean brightness is kept), r <= 96 the smallest radius
        that leaves at most 0.2 % of the absolute sum outside.
    """
    import numpy as np

    side = taps.shape[0]
    placed = np.zeros((GRID, GRID))
    placed[:side, :side] = taps
    response = np.fft.fft2(np.roll(placed, (-(side // 2), -(side // 2)), axis=(0, 1)))
    power = np.abs(response) ** 2
    inverse = np.fft.ifft2(np.conj(response) / np.maximum(power + penalty, 1e-12)).real
    centred = np.fft.fftshift(inverse)
    radius = _radius(np.abs(centred))
    middle = GRID // 2
    cut = centred[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    return cut / cut.sum()


def _radius(size: NDArray[np.float64]) -> int:
    import numpy as np

    line = np.abs(np.arange(GRID) - GRID // 2)
    ring = np.maximum(line[:, None], line[None, :])
    inside = np.cumsum(np.bincount(ring.ravel(), weights=size.ravel()))
    enough = int(np.searchsorted(inside, (1.0 - TAIL) * inside[-1]))
    return max(1, min(enough, WIDEST))
