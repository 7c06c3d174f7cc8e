"""Average precision of detections over ten overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column, Display, percent
from clearsight.pipelines.metrics.ap50 import AP50, matched
from clearsight.pipelines.metrics.resampled import ResampledMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.pipelines.metrics.base import Rows


class AP(ResampledMetric):
    """Average precision, averaged over overlaps of 0.5, 0.55, ... 0.95 and over classes (COCO's AP)."""

    kind: Literal["ap"] = "ap"
    columns: ClassVar[tuple[Column, ...]] = AP50.columns
    display: ClassVar[Display | None] = percent(
        "AP", "average precision over overlaps from 0.5 to 0.95, mean over classes"
    )
    purpose: ClassVar[str] = "average precision over ten overlaps (COCO's AP, 50:95)"

    def resampled(self, rows: Rows, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean over overlaps and classes in each resample."""
        from clearsight.defend.average_precision import average_precision, over_classes
        from clearsight.defend.box_matching import THRESHOLDS

        return over_classes(average_precision(matched(rows), weights, range(len(THRESHOLDS))))
