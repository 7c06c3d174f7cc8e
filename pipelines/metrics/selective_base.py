"""`Selective`: base of metrics of how well a score of confidence tells errors from right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from clearsight.data.contract.column import Column
from clearsight.defend.uncertainty.sureness import SURER, Score
from clearsight.pipelines.metrics.accuracy import Accuracy
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.metrics.confidence import Confidence
from clearsight.pipelines.metrics.energy import Energy
from clearsight.pipelines.metrics.entropy import Entropy
from clearsight.pipelines.metrics.logit_margin import LogitMargin

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.estimate import Estimate
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows

    Parts = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


class Selective(Metric):
    """Base of metrics of selective prediction. A subclass adds ``kind``, ``display`` and its arithmetic."""

    score: Score = "confidence"
    """What the images are put in order by: the largest probability, the entropy of the probabilities, the
    free energy of the logits, or the lead of the largest logit over the second."""
    columns: ClassVar[tuple[Column, ...]] = (
        *Confidence.columns,
        *Entropy.columns,
        *Energy.columns,
        *LogitMargin.columns,
        *Accuracy.columns,
    )

    @property
    def variant(self) -> str:
        """Return the score, where it is not the usual one."""
        return "" if self.score == "confidence" else self.score

    def sureness(self, rows: Rows) -> NDArray[np.float64]:
        """Return the score (n,), larger where the classifier is surer."""
        return SURER[self.score] * rows[self.score]

    def computed(self, parts: Parts, rows: Rows) -> NDArray[np.float64] | None:
        """Return one value an image (n,) of the scores and errors; None where an image lacks them."""
        import numpy as np

        needed = [rows.get(name) for name in (self.score, "correct")]
        if any(column is None or np.isnan(column).any() for column in needed):
            return None
        return parts(self.sureness(rows), 1.0 - rows["correct"])

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the mean of `over_images`."""
        values = self.over_images(rows)
        assert values is not None
        return self.mean(values, rng)
