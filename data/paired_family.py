"""Several differences on the same images, judged together: one critical value, one interval for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng

FLIPS = 1999
"""Random draws of signs: they estimate a false-alarm rate of 5 % with a standard error of 0.5 points."""
SINGLE = 1.959963984540054
"""Critical value of a single interval of 95 %."""
BLOCK = 1 << 22
"""Signs that one block may hold."""
EQUAL = 1e-9
"""Relative distance below which two sums of the same numbers count as equal."""
STEPS = 60
"""Halvings of an end's bracket: to the last bit of a float."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A mean paired difference with its simultaneous interval.

    Attributes:
        difference: the mean.
        low: lower end. The interval leaves out 0 exactly where ``p`` is below one less the confidence.
        high: upper end.
        p: adjusted for all differences of the family.
    """

    difference: float
    low: float
    high: float
    p: float


def judge(
    differences: Sequence[Floats], rng: Rng, *, confidence: float = 0.95, prefixes: bool = False
) -> list[Judged]:
    """Return every mean of a family of paired differences, with intervals that hold all at once.

    Each statistic is z = sum(d) / sqrt(sum(d^2)), for differences of right and wrong the root of McNemar's.
    If the systems are equally good, all differences of an image are as likely with their signs flipped
    together as without. The largest |z| of the family under random signs therefore gives the critical
    value (max-T: Westfall & Young 1993), exactly where nothing differs, whatever the dependence between the
    comparisons, and asymptotically where a single mean is 0 (Janssen 1999). An interval holds the
    differences that the same statistic does not reject at this critical value: see `score_interval`.

    Args:
        differences: (n,) each, in [-1, 1], of the same n images in order.
        rng: stream of the signs.
        confidence: probability that every true difference of 0 lies in its interval.
        prefixes: allow shorter vectors, which hold the first of these images only.

    Raises:
        DataError: the lengths differ, or a difference is not in [-1, 1].
    """
    if not differences:
        return []
    lengths = sorted({len(d) for d in differences})
    if not lengths[0] or (len(lengths) > 1 and not prefixes):
        raise DataError(f"lengths {lengths} are no pairs", where="judge")
    # Like an image without a change, one that was not measured adds nothing to a statistic.
    table = np.stack([np.pad(d, (0, lengths[-1] - len(d))) for d in differences])
    if not (np.abs(table) <= 1.0).all():
        raise DataError("a difference is not in [-1, 1]", where="judge", hint="leave out what is missing")
    scale = np.sqrt((table**2).sum(1))
    statistic = np.abs(table.sum(1)) / np.where(scale > 0, scale, 1.0)
    largest = np.sort(_largest(table[scale > 0] / scale[scale > 0, None], rng))
    # The largest share of draws that may reach the statistic: (1 + reached) / (1 + draws) below the level.
    allowed = int(np.ceil((1.0 - confidence) * (len(largest) + 1) - EQUAL)) - 2
    critical = float(largest[len(largest) - 1 - allowed]) * (1.0 + EQUAL)
    found = []
    for d, z in zip(differences, statistic, strict=True):
        reached = len(largest) - int(np.searchsorted(largest, z * (1.0 - EQUAL)))
        low, high = score_interval(d, critical)
        found.append(Judged(float(d.mean()), low, high, (1 + reached) / (1 + len(largest))))
    return found


def _largest(unit: Floats, rng: Rng) -> Floats:
    """Return the largest |z| of the family in each draw of signs; ``unit`` (m, n) has rows of length 1."""
    changed = unit[:, (unit != 0).any(0)]
    if not changed.size:
        return np.zeros(FLIPS)
    generator, out = rng.numpy(), []
    block = max(1, BLOCK // changed.shape[1])
    for start in range(0, FLIPS, block):
        size = (min(block, FLIPS - start), changed.shape[1])
        signs = generator.integers(0, 2, size, dtype=np.int8) * 2.0 - 1.0
        out.append(np.abs(signs @ changed.T).max(1))
    return np.concatenate(out)


def score_interval(d: Floats, z: float = SINGLE) -> tuple[float, float]:
    """Return the mean differences that a score test at the critical value ``z`` does not reject.

    Tango's interval (1998) in its limit for rare changes, with the size of one image's change taken from the
    data, so that it also holds for means over conditions. A true mean x is rejected where
    n (mean - x)^2 > z^2 V(x). V is the second moment under x less x^2: gains and losses have the most likely
    rates whose difference is x, which at 0 is the second moment that was measured. So the interval leaves
    out 0 exactly where |sum(d)| > z sqrt(sum(d^2)). Where nothing changed it is +- z^2 / (n + z^2), not 0.

    Args:
        d: (n,) in [-1, 1].
        z: critical value; without one, that of a single interval of 95 %.

    Returns:
        Lower and upper end in [-1, 1].
    """
    n, mean, second = len(d), float(d.mean()), float((d**2).mean())
    size = second / float(np.abs(d).mean()) if second else 1.0
    won, lost = float(d.clip(min=0).mean()), float((-d).clip(min=0).mean())
    least = second - mean**2

    def accepted(x: float) -> bool:
        linear = 2.0 * x - won - lost
        # The positive root of 2 l^2 + linear l - lost x = 0: the most likely rate of losses.
        losses = (sqrt(max(0.0, linear**2 + 8.0 * lost * x)) - linear) / 4.0
        variance = max(size * (2.0 * losses + x) - x * x, least)
        return n * (mean - x) ** 2 <= z * z * variance

    zero = n * mean**2 <= z * z * second
    low = _end(accepted, mean, -1.0 if zero or mean <= 0 else 0.0)
    high = _end(accepted, mean, 1.0 if zero or mean >= 0 else 0.0)
    return low, high


def _end(accepted: Callable[[float], bool], inside: float, outside: float) -> float:
    if accepted(outside):
        return outside
    for _ in range(STEPS):
        middle = (inside + outside) / 2.0
        inside, outside = (middle, outside) if accepted(middle) else (inside, middle)
    return outside
