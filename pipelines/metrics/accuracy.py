"""Share of images whose predicted class is the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.pipelines.metrics.base import Estimate, Metric

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows


class Accuracy(Metric):
    """Top-1 accuracy with a Wilson score interval."""

    kind: Literal["accuracy"] = "accuracy"
    columns: ClassVar[tuple[str, ...]] = ("correct",)
    mean_of: ClassVar[str | None] = "correct"
    purpose: ClassVar[str] = "share of right predictions (Wilson interval)"

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the share of right predictions."""
        from clearsight.data.statistics import wilson

        right, n = int(rows["correct"].sum()), len(rows["correct"])
        low, high = wilson(right, n)
        return Estimate(right / n, low, high, "wilson")
