"""Design of regularised inverse filters: finite kernels that undo a known blur."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = 256
"""Side of the grid of frequencies that filters are designed on; at least four radii."""
NARROWEST, WIDEST = 24, 64
"""Least and greatest radius in pixels of a filter."""
STEPS = 40
"""Conjugate-gradient steps of the design: within 0.1 % of the optimum at the default weights; for much weaker
penalties the early stop regularises a little more."""


def filter_radius(side: int) -> int:
    """Return the radius of the inverse filter of a blur kernel with this side, both in pixels."""
    return min(max(NARROWEST, 2 * side), WIDEST)


def frequencies() -> NDArray[np.float64]:
    """Return the squared radial frequency of the grid in (cycles / pixel)^2, (GRID, GRID), zero first."""
    import numpy as np

    line = np.fft.fftfreq(GRID)
    return np.asarray(line[:, None] ** 2 + line[None, :] ** 2)


def laplacian() -> NDArray[np.float64]:
    """Return the squared response of the 4-neighbour Laplacian on the grid, (GRID, GRID)."""
    import numpy as np

    line = 2.0 - 2.0 * np.cos(2.0 * np.pi * np.fft.fftfreq(GRID))
    return np.asarray((line[:, None] + line[None, :]) ** 2)


def inverse_filter(taps: NDArray[np.float64], penalty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the finite filter that comes nearest to the response conj(H) / (|H|^2 + penalty).

    The unbounded filter of a sharp-edged blur rings for hundreds of pixels, and cutting it off ruins it. So
    the filter of limited support is sought that minimises ``sum S (|G H - 1|^2 + penalty |G|^2)`` over
    frequencies, with the power S = 1 / f^2 of natural images (Field 1987): a Wiener filter of finite
    length. Its normal equations are solved by conjugate gradients, preconditioned by the unbounded inverse.

    Args:
        taps: the blur, (k, k), k odd, sum 1, response H.
        penalty: non-negative, (GRID, GRID): noise-to-signal ratio (Wiener) or weighted squared response of
            the regularising operator (Tikhonov).

    Returns:
        (2 r + 1, 2 r + 1) float64 with r = `filter_radius` (k) and sum 1: the mean brightness is kept.
    """
    import numpy as np

    response = _response(taps)
    signal = 1.0 / np.maximum(frequencies(), 0.25 / GRID**2)
    normal = signal * np.maximum(np.abs(response) ** 2 + penalty, 1e-9)
    radius = filter_radius(taps.shape[0])
    inside = np.abs(np.fft.fftfreq(GRID, 1.0 / GRID)) <= radius
    support = inside[:, None] & inside[None, :]

    def apply(kernel: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(support, np.fft.irfft2(np.fft.rfft2(kernel) * _half(weights), s=(GRID, GRID)), 0.0)

    target = np.where(support, np.fft.ifft2(signal * np.conj(response)).real, 0.0)
    kernel = np.where(support, np.fft.ifft2(signal * np.conj(response) / normal).real, 0.0)
    rest = target - apply(kernel, normal)
    step = towards = apply(rest, 1.0 / normal)
    slope = float((rest * towards).sum())
    # Not scipy's cg: its sums run in another order, which changes one tap in eight in the last bit of float32
    # and so every restored image, and it takes four times as long.
    for _ in range(STEPS):
        if slope <= 0.0:
            break
        image = apply(step, normal)
        length = slope / float((step * image).sum())
        kernel, rest = kernel + length * step, rest - length * image
        towards = apply(rest, 1.0 / normal)
        slope, before = float((rest * towards).sum()), slope
        step = towards + slope / before * step
    middle = slice(GRID // 2 - radius, GRID // 2 + radius + 1)
    cut = np.fft.fftshift(kernel)[middle, middle]
    return np.asarray(cut / cut.sum())


def _half(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    return spectrum[:, : GRID // 2 + 1]


def _response(taps: NDArray[np.float64]) -> NDArray[np.complex128]:
    import numpy as np

    side = taps.shape[0]
    placed = np.zeros((GRID, GRID))
    placed[:side, :side] = taps
    return np.fft.fft2(np.roll(placed, (-(side // 2), -(side // 2)), axis=(0, 1)))
