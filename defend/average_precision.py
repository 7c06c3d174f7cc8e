"""Average precision of matched detections, for many resamples of the images at once.

As COCO computes it (Lin et al. 2014): precision, made non-increasing in recall, averaged over 101 recalls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls over which precision is averaged."""
BLOCK = 1 << 22
"""Numbers that one block of resamples may hold."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = NDArray[np.int64]
"""(b, images): how often each image is in each of b resamples."""


@dataclass(frozen=True)
class Matched:
    """The detections of several images, one array entry each, in the order of the images.

    Attributes:
        images: how many images there are.
        image: (d,), position of each detection's image.
        score: (d,).
        label: (d,), class.
        matched: (d,), bits of the thresholds at which it finds a true box, see `box_matching.match`.
        ignored: (d,), bits of those at which it does not count.
        true_image: (g,), image of each true box that counts.
        true_label: (g,), its class.
    """

    images: int
    image: Ints
    score: Floats
    label: Ints
    matched: Ints
    ignored: Ints
    true_image: Ints
    true_label: Ints

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """Return the classes that have a true box; of no other is anything known."""
        return tuple(int(label) for label in np.unique(self.true_label))

    def once(self) -> Weights:
        """Return the weights of the images as they are, (1, images)."""
        return np.ones((1, self.images), np.int64)


def joined(
    scores: Sequence[NDArray[Any]],
    labels: Sequence[NDArray[Any]],
    matched: Sequence[NDArray[Any]],
    ignored: Sequence[NDArray[Any]],
    true_labels: Sequence[NDArray[Any]],
) -> Matched:
    """Return the detections of images, one sequence entry an image."""

    def flat(columns: Sequence[NDArray[Any]]) -> Floats:
        return np.concatenate([np.zeros(0), *columns])

    count = len(scores)
    return Matched(
        images=count,
        image=np.repeat(np.arange(count), [len(each) for each in scores]),
        score=flat(scores),
        label=flat(labels).astype(np.int64),
        matched=flat(matched).astype(np.int64),
        ignored=flat(ignored).astype(np.int64),
        true_image=np.repeat(np.arange(count), [len(each) for each in true_labels]),
        true_label=flat(true_labels).astype(np.int64),
    )


def average_precision(found: Matched, weights: Weights, thresholds: Sequence[int]) -> Floats:
    """Return the average precision of each class, averaged over thresholds.

    Args:
        found: the detections.
        weights: the resamples.
        thresholds: positions in `box_matching.THRESHOLDS`.

    Returns:
        (b, classes of ``found``) in [0, 1]; nan where a resample has no true box of a class.
    """
    total = np.zeros((len(weights), len(found.classes)))
    for threshold in thresholds:
        for rows, k, hits, false, true in _curves(found, weights, threshold):
            total[rows, k] += _area(hits, false, true)
    return total / len(thresholds)


def recall_at_precision(found: Matched, weights: Weights, threshold: int, precision: float) -> Floats:
    """Return the largest recall of each class at which the precision is high enough; 0 where it never is.

    Args:
        found: the detections.
        weights: the resamples.
        threshold: position in `box_matching.THRESHOLDS`.
        precision: that is asked for, in (0, 1].

    Returns:
        (b, classes of ``found``) in [0, 1]; nan where a resample has no true box of a class.
    """
    best = np.zeros((len(weights), len(found.classes)))
    for rows, k, hits, false, true in _curves(found, weights, threshold):
        # hits / (hits + false) >= precision, without dividing by 0.
        good = (hits > 0) & (hits >= precision * (hits + false) * (1.0 - 1e-12))
        reached = np.where(good, hits, 0).max(1, initial=0)
        best[rows, k] = _share(reached, true)
    return best


def over_classes(values: Floats) -> Floats:
    """Return the mean over classes (b,), of those that have a true box; nan where none has."""
    known = ~np.isnan(values)
    count = known.sum(1)
    total = np.where(known, values, 0.0).sum(1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def _curves(
    found: Matched, weights: Weights, threshold: int
) -> Iterator[tuple[slice, int, Ints, Ints, Ints]]:
    """Yield for blocks of resamples and each class what lies at and above each detection that finds a box.

    Each entry: the resamples, the class's position, hits (b, h) and false alarms (b, h) with at least the
    score of the h-th detection that finds a box, and the number of true boxes (b,).
    """
    bit = 1 << threshold
    for k, label in enumerate(found.classes):
        mine = np.flatnonzero((found.label == label) & (found.ignored & bit == 0))
        mine = mine[np.argsort(-found.score[mine], kind="stable")]
        hit = (found.matched[mine] & bit) != 0
        places = np.flatnonzero(hit)
        # False alarms below the last hit change neither recall nor any precision that is averaged.
        length = int(places[-1]) + 1 if len(places) else 0
        images, hit = found.image[mine[:length]], hit[:length]
        counts = np.bincount(found.true_image[found.true_label == label], minlength=found.images)
        step = max(1, BLOCK // max(1, length))
        for start in range(0, len(weights), step):
            rows = slice(start, min(start + step, len(weights)))
            often = weights[rows][:, images]
            above = np.cumsum(often, axis=1)[:, places]
            hits = np.cumsum(often[:, places], axis=1)
            yield rows, k, hits, above - hits, weights[rows] @ counts


def _area(hits: Ints, false: Ints, true: Ints) -> Floats:
    """Return the average precision (b,) of resamples; the arguments are those that `_curves` yields."""
    total = hits + false
    precision = np.divide(hits, total, out=np.zeros(hits.shape), where=total > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = _share(hits, true[:, None])
    # A detection stands for the recalls that it is the first to reach.
    reached = np.searchsorted(RECALLS, recall, side="right")
    new = np.diff(reached, axis=1, prepend=0)
    area = (precision * new).sum(1) / len(RECALLS)
    return np.where(true > 0, area, np.nan)


def _share(part: Ints, whole: Ints) -> Floats:
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    share: Floats = np.divide(part, whole, out=out, where=np.broadcast_to(whole > 0, out.shape))
    return share
