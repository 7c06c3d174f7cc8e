"""How well a score tells images of the kind that was trained on from images of something else."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import RESAMPLES, percentiles, score_interval, wilson

Floats = NDArray[np.float64]
ACCEPTED = 0.95
"""Share of images of the known kind that the threshold of `false_alarms` lets through."""
HALVINGS = 60
"""Steps in the search for the ends of an interval."""


@dataclass(frozen=True)
class Separation:
    """What a score is worth, with 95 % intervals.

    Attributes:
        auroc: probability that a known image scores higher than another one; ties count half.
        aupr_in: average precision where known images are to be found, ``aupr_out`` where the others are.
        fpr95: share of the others that the threshold accepts which accepts 95 % of the known ones.
    """

    auroc: Estimate
    aupr_in: Estimate
    aupr_out: Estimate
    fpr95: Estimate


def separation(known: ArrayLike, other: ArrayLike, rng: Rng) -> Separation:
    """Return all figures of a score.

    Args:
        known: (n,) scores of images of the kind that was trained on; higher means more at home.
        other: (m,) scores of images of something else.
        rng: for what is resampled.

    Raises:
        DataError: no images, or scores that are not finite.
    """
    inside, outside = _checked(known), _checked(other)
    area = auroc(inside, outside)
    low, high = auroc_interval(area, len(inside), len(outside))
    # An average precision is taken for a share of the positive images (Boyd, Eng & Page 2013).
    precise, reverse = average_precision(inside, outside), average_precision(-outside, -inside)
    return Separation(
        Estimate(area, low, high, "hanley-mcneil score"),
        Estimate(precise, *score_interval(precise, len(inside)), "binomial score"),
        Estimate(reverse, *score_interval(reverse, len(outside)), "binomial score"),
        false_alarms(inside, outside, rng),
    )


def auroc(known: Floats, other: Floats) -> float:
    """Return the area under the ROC curve (Mann & Whitney 1947): P(known > other) + P(equal) / 2."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, known, side="left") + np.searchsorted(ordered, known, side="right")
    return float(below.sum() / (2.0 * len(known) * len(other)))


def auroc_interval(area: float, n: int, m: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of an area (Newcombe 2006, method 5): it has a width at 0 and 1 too.

    It holds the areas that the measured one is no more than so many standard errors away from, those of
    Hanley & McNeil (1982) at the area in question, with both numbers of images taken as their mean.

    Args:
        area: measured.
        n: known images.
        m: others.
        confidence: coverage in (0, 1).
    """
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    half = (n + m) / 2.0 - 1.0

    def error(true: float) -> float:
        spread = 1.0 + half * (1.0 - true) / (2.0 - true) + half * true / (1.0 + true)
        return sqrt(true * (1.0 - true) * spread / (n * m))

    def end(bound: float) -> float:
        inside, outside = area, bound
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2.0
            near = abs(area - middle) <= z * error(middle)
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    # At an end itself the error is 0: the search starts a little inside.
    return (0.0 if area == 0.0 else end(0.0)), (1.0 if area == 1.0 else end(1.0))


def average_precision(positive: Floats, negative: Floats) -> float:
    """Return the average precision: the precision at every threshold, weighted by the recall it adds."""
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])[order]
    ordered = scores[order]
    # Equal scores have one threshold.
    last = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    found = np.cumsum(hits)[last]
    return float((np.diff(found, prepend=0.0) * found / (last + 1)).sum() / len(positive))


def false_alarms(known: Floats, other: Floats, rng: Rng) -> Estimate:
    """Return the share of other images that are accepted with 95 % of the known ones, with its interval.

    The interval spans Wilson's of the share at this threshold and that of a bootstrap over both kinds of
    images, in which the threshold varies too.
    """
    ordered, others = np.sort(known), np.sort(other)
    n, m = len(ordered), len(others)
    # The largest threshold with at least 95 % of the known images at or above it.
    rank = n - ceil(ACCEPTED * n - 1e-9)

    def accepted(threshold: Floats) -> Floats:
        found: Floats = m - np.searchsorted(others, threshold, side="left").astype(np.float64)
        return found

    count = int(accepted(ordered[rank : rank + 1])[0])
    # The rank-th smallest of n draws from n images is the image at n times the rank-th of n uniform numbers.
    draw = rng.numpy()
    places = np.ceil(n * draw.beta(rank + 1, n - rank, size=RESAMPLES)).astype(np.int64) - 1
    shares = draw.binomial(m, accepted(ordered[places.clip(0, n - 1)]) / m) / m
    ends = wilson(count, m), percentiles(shares)
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    return Estimate(count / m, low, high, "wilson and bootstrap")


def _checked(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise DataError("expects a vector of finite scores, at least one", where="other images")
    return array
