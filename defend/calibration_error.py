"""The expected calibration error without the bias of few samples, and an interval that covers."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.defend.scores import calibration_bins

Floats = NDArray[np.float64]
NORMAL = 1.959963984540054
"""Quantile 0.975 of the normal distribution."""
PRIOR = 2.0
"""Pseudo-samples, right as often as confident, that smooth a bin's variance: a single sample has none."""
STEPS = 50
"""Halvings in the search for the upper end."""

_erf = np.vectorize(erf, otypes=[np.float64])


def calibration_error(
    confidence: ArrayLike, correct: ArrayLike, bins: int = 15, *, adaptive: bool = False
) -> tuple[float, float, float]:
    """Return the debiased expected calibration error, and the ends of its 95 % interval.

    The plain estimate (`clearsight.defend.scores.ece`) adds up |gap| of the bins, and noise makes every |gap|
    larger: it gives a calibrated network on 150 images 3 to 9 points. What noise adds, if a gap is normal
    with the variance of its bin, is subtracted, as Kumar et al. (2019) do, at gaps that are first shrunk as
    far as they look like noise (James-Stein), because the measured ones are too large. The ends ask which
    errors fit what was measured: the lower one subtracts all that noise can have added, bin by bin; the
    upper one supposes the error spread where noise adds least, in proportion to each bin's noise.

    Args:
        confidence: (n,) probability of the predicted class.
        correct: (n,) whether the prediction was right (bool, or 0 and 1).
        bins: number of bins.
        adaptive: bins of equal mass instead of equal width.

    Returns:
        Value, lower and upper end, in [0, 1].

    Raises:
        DataError: no samples, lengths that differ, or values outside [0, 1].
    """
    counts, sure, right = calibration_bins(confidence, correct, bins, adaptive=adaptive)
    weight, gap = counts / counts.sum(), np.abs(right - sure)
    plain = float((weight * gap).sum())
    smooth = (counts * right + PRIOR * sure) / (counts + PRIOR)
    # A bin whose samples are all sure and right has no noise; the tiny number keeps divisions defined.
    noise = np.sqrt(smooth * (1.0 - smooth) / counts) + 1e-12
    uneven = max(0.0, float((weight * gap**2).sum()) - plain**2) / float(counts.sum())

    def added(size: Floats) -> float:
        """Return what noise adds to gaps of this size."""
        return float((weight * (_folded(size, noise)[0] - size)).sum())

    signal = sqrt(max(0.0, 1.0 - len(gap) / max(1e-12, float(((gap / noise) ** 2).sum()))))
    value = max(0.0, plain - added(gap * signal))
    spread = sqrt(float(((weight * noise) ** 2).sum()) + uneven)
    low = plain - added(np.maximum(0.0, gap - NORMAL * noise)) - NORMAL * spread

    def excess(error: float) -> float:
        """Return how far the lower quantile of the plain estimate lies above what was measured."""
        mean, variance = _folded(error / float((weight * noise).sum()) * noise, noise)
        deviation = sqrt(float((weight**2 * variance).sum()) + uneven)
        return float((weight * mean).sum()) - NORMAL * deviation - plain

    high = _root(excess)
    return value, min(max(0.0, low), value), max(high, value)


def _folded(size: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of the absolute value of a normal variable."""
    t = size / noise
    mean = noise * sqrt(2.0 / pi) * np.exp(-t * t / 2.0) + size * _erf(t / sqrt(2.0))
    return mean, np.maximum(0.0, size**2 + noise**2 - mean**2)


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    if rising(low) > 0.0:
        return low
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rising(middle) > 0.0 else (middle, high)
    return high
