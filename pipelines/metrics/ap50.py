"""Average precision of detections at half overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.column import Column, Display, percent
from clearsight.pipelines.metrics.base import Measurement, Need
from clearsight.pipelines.metrics.resampled import ResampledMetric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from clearsight.defend.average_precision import Matched
    from clearsight.pipelines.metrics.base import Rows, Seen

NAMES = ("found_scores", "found_labels", "found_matched", "found_ignored", "true_labels")
"""Columns that every figure of detections is made of."""


class AP50(ResampledMetric, Measurement):
    """Average precision at an intersection over union of 0.5, averaged over the classes (COCO's AP50).

    Rows hold every detection of an image (box, score, class, at which of the ten overlaps it finds a true
    box, at which it does not count) and the classes of the true boxes: any figure can be computed again.
    """

    kind: Literal["ap50"] = "ap50"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="found_boxes", dtype="list[float32]", label="x, y, width, height of each detection"),
        Column(name="found_scores", dtype="list[float32]", label="scores of the detections"),
        Column(name="found_labels", dtype="list[int32]", label="classes of the detections"),
        Column(name="found_matched", dtype="list[int32]", label="overlaps at which each is right, in bits"),
        Column(
            name="found_ignored", dtype="list[int32]", label="overlaps at which it does not count, in bits"
        ),
        Column(name="true_labels", dtype="list[int32]", label="classes of the true boxes that count"),
    )
    display: ClassVar[Display | None] = percent(
        "AP50", "average precision of detections that overlap a true box by half, mean over classes"
    )
    purpose: ClassVar[str] = "average precision of detections at half overlap (COCO's AP50)"
    needs: ClassVar[frozenset[Need]] = frozenset({"detections", "boxes"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Return the detections of each image, matched with its true boxes."""
        import torch

        from clearsight.defend.box_matching import match

        columns: dict[str, list[Tensor]] = {column.name: [] for column in self.columns}
        for found, true in zip(seen["detections"].double(), seen["boxes"], strict=True):
            found, true = found[found[:, 5] >= 0], true[true[:, 4] >= 0]
            crowd = true[:, 5] > 0
            labels, true_labels = found[:, 5].int(), true[:, 4].int()
            given = (found[:, :4], found[:, 4], labels, true[:, :4], true_labels, crowd)
            matched, ignored = match(*(each.numpy() for each in given))
            told = {
                "found_boxes": found[:, :4].flatten().float(),
                "found_scores": found[:, 4].float(),
                "found_labels": labels,
                "found_matched": torch.from_numpy(matched),
                "found_ignored": torch.from_numpy(ignored),
                "true_labels": true_labels[~crowd],
            }
            for name, values in told.items():
                columns[name].append(values)
        return columns

    def resampled(self, rows: Rows, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean over classes in each resample."""
        from clearsight.defend.average_precision import over_classes

        return over_classes(self.by_class(matched(rows), weights))

    def by_class(self, found: Matched, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the figure of each class that has a true box, (b, classes)."""
        from clearsight.defend.average_precision import average_precision

        return average_precision(found, weights, [0])


def matched(rows: Rows) -> Matched:
    """Return the detections that the rows of a cell hold."""
    from clearsight.defend.average_precision import joined

    return joined(*(list(rows[name]) for name in NAMES))
