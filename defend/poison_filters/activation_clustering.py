"""Activation clustering (Chen et al. 2018): the features of a poisoned class fall into two groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.poison_filters.base import FEWEST, PoisonFilter, Sifted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS = 100
"""Most rounds of the two-means; they stop when no image changes its group."""


class ActivationClustering(PoisonFilter):
    """Two-means on the leading principal components of each class; the smaller group goes if it stands apart.

    After Chen et al. (2018), with principal in place of independent components. A class is taken for poisoned
    where the smaller group is not too large and the mean silhouette of the two groups is high; the paper
    names both signs. The score of an image is that silhouette in the smaller group, 0 elsewhere.
    """

    kind: Literal["activation_clustering"] = "activation_clustering"
    purpose: ClassVar[str] = "two groups in the features of a class, the smaller removed (Chen 2018)"

    components: Annotated[int, Field(ge=1, le=256)] = 10
    """Principal components that are kept."""
    largest: Annotated[Number, Field(gt=0, le=0.5)] = 0.35
    """Largest part of a class that the smaller group may be."""
    silhouette: Annotated[Number, Field(gt=-1, lt=1)] = 0.15
    """Mean silhouette above which the groups stand apart."""

    def sift(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Sifted:
        """Return the silhouettes of the groups that are removed."""
        import numpy as np

        scores = np.zeros(len(labels))
        removed = np.zeros(len(labels), bool)
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            if len(members) < FEWEST:
                continue
            points = _components(features[members], self.components)
            second = _two_means(points)
            if not 0 < second.sum() < len(members):
                continue
            if second.sum() * 2 > len(members):
                second = ~second
            apart = _silhouette(points, second)
            scores[members[second]] = max(apart, 0.0)
            removed[members[second]] = apart > self.silhouette and second.mean() <= self.largest
        return Sifted(scores, removed)


def _components(features: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    import numpy as np

    centred = features - features.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, :count] * values[:count])


def _two_means(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points are in the second group; it begins with the two ends of the first component."""
    import numpy as np

    centres = points[[int(points[:, 0].argmin()), int(points[:, 0].argmax())]]
    second = np.zeros(len(points), bool)
    for _ in range(ROUNDS):
        distances = np.linalg.norm(points[:, None] - centres, axis=2)
        now = np.asarray(distances[:, 1] < distances[:, 0])
        if not 0 < now.sum() < len(points):
            return now
        centres = np.stack([points[~now].mean(0), points[now].mean(0)])
        if np.array_equal(now, second):
            break
        second = now
    return second


def _silhouette(points: NDArray[np.float64], second: NDArray[np.bool_]) -> float:
    """Return the mean silhouette of two groups (Rousseeuw 1987); 0 for a point that is alone in its group."""
    import numpy as np

    distances = np.linalg.norm(points[:, None] - points, axis=2)
    sums = np.stack([distances[:, ~second].sum(1), distances[:, second].sum(1)], axis=1)
    counts = np.array([np.count_nonzero(~second), np.count_nonzero(second)])
    group = second.astype(int)
    rows = np.arange(len(points))
    inside = sums[rows, group] / np.maximum(counts[group] - 1, 1)
    outside = sums[rows, 1 - group] / counts[1 - group]
    each = (outside - inside) / np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
    return float(np.where(counts[group] > 1, each, 0.0).mean())
