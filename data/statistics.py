"""Intervals and tests that go with a measured figure. Every room may use them; there is no torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng

RESAMPLES = 2000
"""Bootstrap resamples: enough for the ends of a 95 % interval (Efron & Tibshirani 1993, section 14.2)."""
LEAST_SPREAD = 0.2
"""Least standard deviation of a resample, relative to the sample's: without the only large value it has none.
The upper end is then six times the mean, as for one event of a Poisson process (5.6)."""
ROUNDING = 1e-12
"""Relative spread below which values count as equal."""
BLOCK = 1 << 21
"""Numbers that one block of resamples may hold: 16 MiB of indices, whatever the sample size."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson 1927), good near 0 and 1 and for small n.

    Args:
        successes: 0 to ``n``.
        n: number of trials; 0 says nothing, so the interval is (0, 1).
        confidence: coverage in (0, 1).

    Returns:
        Lower and upper end in [0, 1].

    Raises:
        DataError: the counts or the confidence make no sense.
    """
    _check_confidence(confidence)
    if not 0 <= successes <= n:
        raise DataError(f"{successes} successes in {n} trials are impossible", where="wilson")
    if n == 0:
        return 0.0, 1.0
    # scipy's proportion_ci gives the same to 1e-12 (tested), but its binomtest computes a p-value on the way:
    # a thousand times slower, and a summary asks for thousands of intervals.
    return score_interval(successes / n, n, confidence)


def clustered_wilson(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of the mean of shares whose trials come in clusters, such as one image's.

    Wilson's interval with the effective number of trials (Korn & Graubard 1998): as many independent ones as
    would vary like the clusters' shares do. One cluster more, whose trials stand or fall together, counts in
    that variation: few errors cannot tell whether they come together, and no error at all leaves `wilson`
    of the clusters.

    Args:
        values: (n,) the share of each cluster, in [0, 1]; n >= 1.
        confidence: coverage in (0, 1).

    Returns:
        Lower and upper end in [0, 1].

    Raises:
        DataError: no values, values outside [0, 1], or a confidence that makes no sense.
    """
    _check_confidence(confidence)
    shares = _vector(values, "clustered_wilson")
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        raise DataError("a share is not in [0, 1]", where="clustered_wilson")
    n, mean = shares.size, float(shares.mean())
    spread = (n * float(shares.var()) + 1.0) / (n * mean * (1.0 - mean) + 1.0)
    return score_interval(mean, n / spread, confidence)


def bootstrap_mean(
    values: ArrayLike, rng: Rng, *, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the studentised bootstrap interval of a mean (bootstrap-t; Efron & Tibshirani 1993, 12.5).

    It follows the skewness of losses, where percentiles of resampled means lie too low (Hall 1988). For
    proportions `wilson` and `clustered_wilson` are better; for fewer than some ten values none is reliable.

    Args:
        values: (n,) finite numbers, n >= 1; NaN marks nothing here and is refused.
        rng: the stream that resamples are drawn from; equal streams give equal intervals.
        confidence: coverage in (0, 1).
        resamples: number of resamples.

    Returns:
        Lower and upper end.

    Raises:
        DataError: no values, values that are not finite, or settings that make no sense.
    """
    _check_confidence(confidence)
    if resamples < 1:
        raise DataError(f"{resamples} resamples are too few", where="bootstrap_mean")
    sample = _vector(values, "bootstrap_mean")
    mean, spread = float(sample.mean()), float(sample.std())
    if spread <= abs(mean) * ROUNDING:
        return mean, mean
    # Centred first: the variance of a resample is then no small difference of large numbers.
    blocks = list(_resampled_moments(sample - mean, rng, resamples))
    means = np.concatenate([block for block, _ in blocks])
    variances = np.concatenate([block for _, block in blocks]) - means**2
    t = means / np.sqrt(np.maximum(variances, (LEAST_SPREAD * spread) ** 2))
    low, high = percentiles(t, confidence)
    return mean - high * spread, mean - low * spread


def percentiles(statistics: NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends between which the middle share ``confidence`` of resampled statistics lies."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(statistics, (tail, 1.0 - tail))
    return float(low), float(high)


def resampled_counts(
    occurrences: NDArray[Any], rng: Rng, *, resamples: int = RESAMPLES
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each value occurs in resamples with replacement: a matrix product then gives all means.

    Args:
        occurrences: (k,) how often each of k values occurs in the sample; all ones where they are distinct.
        rng: the stream that resamples are drawn from; the draws do not depend on the size of the blocks.
        resamples: number of resamples.

    Yields:
        (b, k) blocks of counts; every row has the sum of ``occurrences``.
    """
    generator, size = rng.numpy(), int(occurrences.sum())
    block = max(1, BLOCK // len(occurrences))
    for start in range(0, resamples, block):
        yield generator.multinomial(size, occurrences / size, size=min(block, resamples - start))


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    rng: Rng,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the bootstrap interval of mean(first) - mean(second), measured on the same samples in order.

    Pairs are resampled together, so what both have in common (easy and hard samples) cancels.

    Args:
        first: (n,) one value a sample.
        second: (n,) the values of the same samples.
        rng: the stream that resamples are drawn from.
        confidence: coverage in (0, 1).
        resamples: number of resamples.

    Returns:
        Lower and upper end; an interval that leaves out 0 speaks for a difference.

    Raises:
        DataError: the lengths differ, or as `bootstrap_mean`.
    """
    one, two = _vector(first, "paired_bootstrap"), _vector(second, "paired_bootstrap")
    if one.shape != two.shape:
        raise DataError(f"{one.size} and {two.size} values are not pairs", where="paired_bootstrap")
    return bootstrap_mean(one - two, rng, confidence=confidence, resamples=resamples)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p-value of McNemar's test (1947) for two classifiers on the same samples.

    Args:
        gained: samples that only the second classifier gets right.
        lost: samples that only the first one gets right.

    Returns:
        Probability of a split at least this uneven if both err equally often; 1 where nothing differs.

    Raises:
        DataError: a count is negative.
    """
    if min(gained, lost) < 0:
        raise DataError(f"counts {gained} and {lost} must not be negative", where="mcnemar_exact")
    n = gained + lost
    # Whole numbers throughout: no tail is lost to rounding, however small. scipy's binomtest agrees (tested),
    # is slower at every size, and takes a second to import.
    term = total = 1
    for k in range(min(gained, lost)):
        term = term * (n - k) // (k + 1)
        total += term
    return min(1.0, 2 * total / (1 << n))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for having asked several questions at once (Holm 1979), in the given order.

    Raises:
        DataError: a value is not a probability.
    """
    if not all(0.0 <= p <= 1.0 for p in ps):
        raise DataError(f"p-values lie in [0, 1], got {list(ps)}", where="holm")
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def significant(value: float, digits: int = 10) -> float:
    """Return a value rounded to so many significant digits, for files.

    Ten are enough for any use, and the last bits of a sum differ between CPUs.
    """
    return float(f"{float(value):.{digits}g}")


def score_interval(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``n`` trials, which need not be a whole number."""
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    centre = (share + z * z / (2 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    # Rounding must not move the ends that are exact: no success allows 0, no failure allows 1.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise DataError(f"confidence {confidence} is not between 0 and 1", hint="write 0.95 for 95 %")


def _vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or vector.size == 0:
        raise DataError(f"expects a vector of at least one value, got shape {vector.shape}", where=name)
    if not np.isfinite(vector).all():
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise DataError(f"value {bad} is {vector[bad]}", where=name, hint="leave out what was not measured")
    return vector


def _resampled_moments(
    sample: NDArray[np.float64], rng: Rng, resamples: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield blocks of resampled means, and of the means of squares."""
    values, counts = np.unique(sample, return_counts=True)
    # Drawing how often each distinct value occurs is the same resampling; it is fast where few values occur.
    if values.size <= sample.size // 8:
        for often in resampled_counts(counts, rng, resamples=resamples):
            yield often @ values / sample.size, often @ values**2 / sample.size
        return
    generator, block = rng.numpy(), max(1, BLOCK // sample.size)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = sample[generator.integers(0, sample.size, size=(size, sample.size))]
        yield drawn.mean(axis=1), (drawn**2).mean(axis=1)
