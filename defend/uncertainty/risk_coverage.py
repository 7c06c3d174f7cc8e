"""What abstaining buys: the error of the surest images against the share of images that are answered.

With the images in order of sureness, the risk at coverage k/n is the share of errors among the k surest
(Geifman & El-Yaniv 2017). Images of equal sureness count as if in random order, so that no figure depends on
the order of the images.
"""

from __future__ import annotations

from math import ceil, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import bootstrap_mean, clustered_wilson, wilson

Floats = NDArray[np.float64]


def risks(sureness: ArrayLike, wrong: ArrayLike) -> Floats:
    """Return the risk (n,) at coverages 1/n, 2/n, ..., 1.

    Args:
        sureness: (n,) larger where the classifier is surer.
        wrong: (n,) 1 where it errs, else 0.

    Raises:
        DataError: no images, lengths that differ, values that are not finite.
    """
    return _Ordered(sureness, wrong).risks


def aurc_parts(sureness: ArrayLike, wrong: ArrayLike) -> Floats:
    """Return the part (n,) of every image in the area under the risk-coverage curve, which is their mean.

    The part of an image is the value of the curve at its place plus what the image itself adds to the curve
    there and further on (its influence function), so that the spread of the parts is that of the area.

    Raises:
        DataError: as `risks`.
    """
    ordered = _Ordered(sureness, wrong)
    k = np.arange(1, len(ordered.risks) + 1)
    reach, taken = (np.cumsum(terms[::-1])[::-1] for terms in (1.0 / k, ordered.risks / k))
    parts = ordered.evened(ordered.risks - taken) + ordered.wrong * ordered.evened(reach)
    found = np.empty_like(parts)
    found[ordered.order] = parts
    return found


def excess_parts(sureness: ArrayLike, wrong: ArrayLike) -> Floats:
    """Return the part (n,) of every image in the excess area (Geifman, Uziel & El-Yaniv 2019): their mean.

    The excess is the area less that of the best order there is for as many errors, all errors last.

    Raises:
        DataError: as `risks`.
    """
    parts, errors = aurc_parts(sureness, wrong), np.asarray(wrong, dtype=np.float64)
    n, rate = len(errors), float(errors.mean())
    k = np.arange(1, n + 1)
    least = float((np.maximum(0.0, k - (n - errors.sum())) / k).mean())
    # d/dr of r + (1 - r) log(1 - r), the area of the best order for an error rate r.
    slope = -log(max(1.0 - rate, 0.5 / n))
    found: Floats = parts - least - slope * (errors - rate)
    return found


def area_estimate(parts: Floats, rng: Rng, confidence: float = 0.95) -> Estimate:
    """Return an area, the mean of its parts, with a studentised bootstrap interval over images.

    Where no image errs the area is 0, and no larger than the error rate may be: the interval ends at the
    upper end of Wilson's.
    """
    value, n = float(parts.mean()), len(parts)
    if not parts.any():
        return Estimate(0.0, 0.0, wilson(0, n, confidence)[1], "wilson of no error")
    low, high = bootstrap_mean(parts, rng, confidence=confidence)
    return Estimate(max(0.0, value), max(0.0, low), min(1.0, high), "bootstrap")


def selective_accuracy(sureness: ArrayLike, wrong: ArrayLike, coverage: float) -> Estimate:
    """Return the accuracy on the surest images, with Wilson's interval for as many images as are answered.

    Args:
        sureness: (n,) larger where the classifier is surer.
        wrong: (n,) 1 where it errs, else 0.
        coverage: share of images that are answered, in (0, 1].

    Raises:
        DataError: as `risks`, or a coverage outside (0, 1].
    """
    if not 0.0 < coverage <= 1.0:
        raise DataError(f"coverage {coverage} is not in (0, 1]", where="selective accuracy")
    ordered = _Ordered(sureness, wrong)
    # A share such as 0.9 is not exact in binary: 0.9 of 10 images are nine, not ten.
    answered = max(1, ceil(coverage * len(ordered.wrong) - 1e-9))
    sure = len(ordered.wrong) if answered == len(ordered.wrong) else int(ordered.starts[answered])
    right = 1.0 - np.concatenate([ordered.wrong[:sure], ordered.shared[sure:answered]])
    return Estimate(float(right.mean()), *clustered_wilson(right), "wilson")


class _Ordered:
    """Images from the surest to the least sure.

    Attributes:
        order: their places.
        wrong: (n,) in this order.
        starts: (n,) where the run of equally sure images begins that each is in.
        shared: (n,) the share of errors in that run.
    """

    def __init__(self, sureness: ArrayLike, wrong: ArrayLike) -> None:
        sure, errors = (np.asarray(values, dtype=np.float64) for values in (sureness, wrong))
        if sure.ndim != 1 or sure.shape != errors.shape or not sure.size:
            what = f"expects two vectors of one length, got {sure.shape} and {errors.shape}"
            raise DataError(what, where="risk-coverage curve")
        if not (np.isfinite(sure).all() and np.isin(errors, (0.0, 1.0)).all()):
            raise DataError("a score is not finite, or an outcome not 0 or 1", where="risk-coverage curve")
        self.order = np.argsort(-sure, kind="stable")
        self.wrong: Floats = errors[self.order]
        ordered = sure[self.order]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        self._run = np.cumsum(first) - 1
        self.starts = np.flatnonzero(first)[self._run]
        self.shared = self.evened(self.wrong)

    def evened(self, values: Floats) -> Floats:
        """Return values in which equally sure images have their mean."""
        sums = np.bincount(self._run, weights=values)
        found: Floats = (sums / np.bincount(self._run))[self._run]
        return found

    @property
    def risks(self) -> Floats:
        """Return the share of errors among the k surest."""
        found: Floats = np.cumsum(self.shared) / np.arange(1, len(self.shared) + 1)
        return found
