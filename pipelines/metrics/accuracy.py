"""Share of images whose predicted class is the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.metrics.base import Measurement, Need, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows, Seen


class Accuracy(Measurement):
    """Top-1 accuracy with a Wilson score interval."""

    kind: Literal["accuracy"] = "accuracy"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="correct",
            dtype="bool",
            label="Accuracy",
            unit="%",
            better="higher",
            scale=100.0,
            digits=1,
            meaning="share of images classified correctly",
        ),
    )
    purpose: ClassVar[str] = "share of right predictions (Wilson interval)"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return which predictions are right."""
        from clearsight.pipelines.utility.classification import CLASSES

        return {CLASSES.primary: CLASSES.right(seen["logits"], seen["labels"])}

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the share of right predictions."""
        return share(rows["correct"])
