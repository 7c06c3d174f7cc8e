"""Confidence intervals that stay valid under interim looks and early stopping.

Repeated confidence intervals (Jennison & Turnbull 1989, "Interim Analyses: The Repeated Confidence Interval
Approach"): the looks are planned before the first image, and the probability of an error is divided evenly
among them (Bonferroni). All intervals of all looks then hold at once, so the one at which a measurement stops
holds too, whatever made it stop. Of a proportion they are exact (Clopper & Pearson 1934).
"""

from __future__ import annotations

from clearsight.data.contract.errors import DataError

GROWTH = 1.5
"""Factor from one look to the next. More looks end a cell sooner once it is narrow enough, but widen all
intervals: from 100 images to 10,000 in chunks of 64 there are 12, which cost a factor of 1.5 in the width."""


def planned_looks(images: int, *, least: int, step: int, growth: float = GROWTH) -> tuple[int, ...]:
    """Return after how many images the looks are made: multiples of ``step``, and lastly all of them.

    Args:
        images: that there are, at least 1.
        least: images before the first look.
        step: images that are measured together.
        growth: factor between looks, above 1.
    """
    found: list[int] = []
    wanted = float(least)
    while (rounded := -(-int(wanted) // step) * step) < images:
        if not found or rounded > found[-1]:
            found.append(rounded)
        wanted = max(wanted, float(rounded)) * growth
    return (*found, images)


def each_look(confidence: float, looks: int) -> float:
    """Return the confidence of one look, with which the intervals of all looks hold at ``confidence``."""
    return confidence if looks == 1 else 1.0 - (1.0 - confidence) / looks


def exact_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper & Pearson 1934), whose coverage is never too low.

    Args:
        successes: 0 to ``n``.
        n: number of trials; 0 says nothing, so the interval is (0, 1).
        confidence: its coverage is at least this.

    Raises:
        DataError: the counts make no sense.
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= n:
        raise DataError(f"{successes} successes in {n} trials are impossible", where="exact_interval")
    tail = (1.0 - confidence) / 2.0
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1.0 - tail)) if successes < n else 1.0
    return low, high


def repeated_interval(successes: int, n: int, looks: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a proportion at one of several planned looks; those of all looks hold at once.

    Args:
        successes: 0 to ``n``.
        n: trials up to this look.
        looks: how many are planned.
        confidence: of all of them together.
    """
    return exact_interval(successes, n, each_look(confidence, looks))
