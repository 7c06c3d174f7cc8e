"""Spectral signatures (Tran et al. 2018): poisoned images stand out along the features' top direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.poison_filters.base import FEWEST, PoisonFilter, Sifted, most_suspicious

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SpectralSignatures(PoisonFilter):
    """Squared projection of the centred features of each class on their top singular vector.

    Tran, Li and Madry (2018) remove 1.5 times the expected share of every class; here it is that many of all
    images at once, for a backdoor sits in one class and the others need not lose images for it. It asks that
    poisoned images are a minority of their class: where they are half of it, the two halves lie alike about
    their mean.

    Single features of single images may be gross outliers without any poison; ``components`` finds the
    direction in the low-rank part of a robust decomposition instead (`clearsight.defend.low_rank`).
    """

    kind: Literal["spectral_signatures"] = "spectral_signatures"
    purpose: ClassVar[str] = "top singular direction of each class's features (Tran 2018)"

    share: Annotated[Number, Field(gt=0, lt=0.5)] = 0.05
    """Expected poisoned part of all images."""
    excess: Annotated[Number, Field(ge=1, le=4)] = 1.5
    """How many times as many are removed."""
    components: Literal["plain", "convex", "alternating"] = "plain"
    """How the top direction is found: of the features themselves, or of their low-rank part, by principal
    component pursuit or by alternating projections."""
    rank: Annotated[int, Field(ge=1, le=64)] = 5
    """Of the low-rank part of ``alternating``."""

    def sift(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Sifted:
        """Return the squared projections, and the images with the greatest."""
        import numpy as np

        scores = np.zeros(len(labels))
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            if len(members) < FEWEST:
                continue
            centred = features[members] - features[members].mean(0)
            _, _, directions = np.linalg.svd(self._low_rank(centred), full_matrices=False)
            scores[members] = (centred @ directions[0]) ** 2
        return Sifted(scores, most_suspicious(scores, round(self.excess * self.share * len(labels))))

    def _low_rank(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        from clearsight.defend.low_rank import alternated, pursued

        if self.components == "plain":
            return centred
        return pursued(centred)[0] if self.components == "convex" else alternated(centred, self.rank)[0]
