"""Reads off an image's spectrum that its pixels were displaced at random, as by frosted glass."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from clearsight.restore.ops.spectral_blur import CENTRES, SHARP, best_misfits, ring_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPREADS = (1.2, 1.6, 2.0, 2.5, 3.0, 3.6, 4.3)
"""Widths in pixels of the Gaussian that displacing and blurring leave of the scene."""
GRAINS = (0.5, 0.7, 0.9, 1.1, 1.5)
"""Widths of the Gaussian blur behind the displacement: that of its grain."""
POWERS = tuple(float(power) for power in np.geomspace(3e-4, 0.3, 7))
"""Power of the grain, in that of the sharp photograph at a tenth of a cycle per pixel."""
FLOORS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""Power of the noise, in the same."""
FINER = 0.8
"""The grain is narrower than this share of the spread."""
LEAST_SPREAD, LEAST_POWER = 2.0, 0.03
"""Weaker displacement is not worth smoothing, and weaker grain is any noise."""
MISFIT_RATIO, MISFIT_BESIDE = 24.0, 0.45
"""How many times better than no blur, and than the best blur, displacement must explain the spectrum. No
sharp training photograph of 1,300 reaches both."""


def spectral_glass(luma: NDArray[np.floating]) -> float | None:
    """Look for pixels that were displaced at random, each by itself, and then blurred.

    The scene is left blurred, and what the displacement tears from it becomes grain that no photograph has
    and no Gaussian blur leaves: the spectrum falls as ``G_a(f)^2 / f^b + c G_g(f)^2 + n``, with the Gaussians
    of the spread a and of the finer grain g.

    Args:
        luma: (h, w) in [0, 1].

    Returns:
        The spread in pixels; None of images that show no displacement.
    """
    seen = ring_spectrum(luma)
    if seen is None:
        return None
    spreads, powers, logs = _models()
    misfits = seen.misfits(logs)
    best = int(misfits.argmin())
    kernels = best_misfits(seen)
    if kernels[0] < MISFIT_RATIO * misfits[best] or kernels.min() < MISFIT_BESIDE * misfits[best]:
        return None
    if spreads[best] < LEAST_SPREAD or powers[best] < LEAST_POWER:
        return None
    return float(spreads[best])


@cache
def _models() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the spread, the grain's power and the logarithmic spectrum (rings,) of every model."""
    spreads, powers, logs = [], [], []
    for spread in SPREADS:
        for grain in GRAINS:
            if grain >= FINER * spread:
                continue
            scene = _gaussian(spread) * SHARP
            for power in POWERS:
                for floor in FLOORS:
                    logs.append(np.log(scene + power * _gaussian(grain) + floor))
                    spreads += [spread] * len(SHARP)
                    powers += [power] * len(SHARP)
    return np.asarray(spreads), np.asarray(powers), np.concatenate(logs)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the share of the power that a Gaussian of this width lets pass in each ring."""
    return np.exp(-((2.0 * np.pi * CENTRES * sigma) ** 2))
