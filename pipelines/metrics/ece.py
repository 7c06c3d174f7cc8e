"""Expected calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Column, Display
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.metrics.accuracy import Accuracy
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.metrics.confidence import Confidence

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows


class ECE(Metric):
    """Expected calibration error over confidence bins (Guo et al. 2017).

    Resampling adds noise to every bin and so biases a resampled ECE upwards; the interval is the pivotal
    bootstrap one, which turns that bias round, cut off at 0.
    """

    kind: Literal["ece"] = "ece"
    bins: Annotated[int, Field(ge=1, le=1000)] = 15
    """Number of bins."""
    adaptive: bool = False
    """Bins of equal mass instead of equal width."""
    columns: ClassVar[tuple[Column, ...]] = (*Confidence.columns, *Accuracy.columns)
    display: ClassVar[Display | None] = Display(
        label="ECE", unit="%", better="lower", scale=100.0, digits=1, meaning="expected calibration error"
    )
    purpose: ClassVar[str] = "gap between confidence and accuracy"
    resamples: ClassVar[int] = 500

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the calibration error in [0, 1]."""
        import numpy as np

        from clearsight.data.statistics import percentiles
        from clearsight.defend.scores import ece

        confidence, correct = rows["confidence"], rows["correct"]
        value = ece(confidence, correct, bins=self.bins, adaptive=self.adaptive)
        # Not by counts: bins of equal mass are cut anew in every resample.
        picks = rng.numpy().integers(0, len(correct), (self.resamples, len(correct)))
        again = [ece(confidence[i], correct[i], bins=self.bins, adaptive=self.adaptive) for i in picks]
        low, high = percentiles(np.asarray(again))
        return Estimate(
            value,
            float(np.clip(2 * value - high, 0.0, value)),
            float(np.clip(2 * value - low, value, 1.0)),
            "pivotal bootstrap",
        )
