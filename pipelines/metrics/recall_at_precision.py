"""Share of true boxes that a detector finds while it may be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Column, Display, percent
from clearsight.data.contract.spec import Number
from clearsight.pipelines.metrics.ap50 import AP50, matched
from clearsight.pipelines.metrics.resampled import ResampledMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.pipelines.metrics.base import Rows


class RecallAtPrecision(ResampledMetric):
    """Largest recall at which so many detections are right (overlap 0.5), averaged over classes."""

    kind: Literal["recall_at_precision"] = "recall_at_precision"
    columns: ClassVar[tuple[Column, ...]] = AP50.columns
    display: ClassVar[Display | None] = percent(
        "Recall at fixed precision",
        "largest recall at which the share of right detections is as asked, mean over classes",
    )
    purpose: ClassVar[str] = "recall of a detector at a fixed precision"

    precision: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Share of detections that must be right, from the best score down."""

    def resampled(self, rows: Rows, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean over classes in each resample."""
        from clearsight.defend.average_precision import over_classes, recall_at_precision

        return over_classes(recall_at_precision(matched(rows), weights, 0, self.precision))
