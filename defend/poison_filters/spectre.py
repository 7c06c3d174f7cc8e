"""SPECTRE (Hayase et al. 2021): spectral signatures after whitening by what most of a class looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.poison_filters.base import FEWEST, PoisonFilter, Sifted, most_suspicious

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS = 10
"""Of the trimmed estimate: each takes mean and covariance of the images that were nearest before."""
RIDGE = 1e-3
"""Of the mean variance, added to every variance: directions that no image uses stay finite."""


class Spectre(PoisonFilter):
    """Distance of an image from its class in units of the class's own spread, robustly estimated.

    After Hayase et al. (2021): features on the leading components are whitened by mean and covariance of the
    nearest images of the class, so that a poisoned minority stands out against the spread of the others. The
    score is the squared distance times the largest variance of the whitened class: of a clean class that is
    small, and so it says which class is the target. (The paper weights directions by a matrix exponential,
    and estimates the covariance by another robust method.)
    """

    kind: Literal["spectre"] = "spectre"
    purpose: ClassVar[str] = "distance from the class, robustly whitened (Hayase 2021)"

    share: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05
    """Expected poisoned part of all images."""
    excess: Annotated[Number, Field(ge=1, le=4)] = 1.5
    """How many times as many are removed."""
    components: Annotated[int, Field(ge=1, le=256)] = 20
    """Principal components of a class that are kept, at most a tenth of its images."""
    kept: Annotated[Number, Field(ge=0.5, le=1)] = 0.6
    """Part of a class that mean and covariance are estimated on."""

    def sift(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Sifted:
        """Return the weighted distances, and the images with the greatest."""
        import numpy as np

        scores = np.zeros(len(labels))
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            if len(members) < FEWEST:
                continue
            centred = features[members] - np.median(features[members], axis=0)
            count = max(1, min(self.components, len(members) // 10))
            _, _, directions = np.linalg.svd(centred, full_matrices=False)
            scores[members] = self._of_class(centred @ directions[:count].T)
        return Sifted(scores, most_suspicious(scores, round(self.excess * self.share * len(labels))))

    def _of_class(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        near = np.argsort((points**2).sum(1), kind="stable")
        whitened = points
        for _ in range(ROUNDS):
            inner = points[near[: max(2, round(self.kept * len(points)))]]
            spread = np.atleast_2d(np.cov(inner.T))
            ridge = RIDGE * float(np.trace(spread)) / len(spread) + np.finfo(float).tiny
            root = np.linalg.cholesky(np.linalg.inv(spread + ridge * np.eye(len(spread))))
            whitened = (points - inner.mean(0)) @ root
            near = np.argsort((whitened**2).sum(1), kind="stable")
        largest = float(np.linalg.eigvalsh(np.atleast_2d(np.cov(whitened.T)))[-1])
        return np.asarray((whitened**2).sum(1) * largest)
