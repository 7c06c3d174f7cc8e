"""Share of images whose class is right by a vote over fresh draws of a system's random parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.pipelines.metrics.base import Estimate, Metric

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows


class MajorityAccuracy(Metric):
    """Top-1 accuracy of the majority of ``draws`` fresh draws, with a Wilson score interval.

    Only systems with random parts have it; ``accuracy`` is that of a single draw.
    """

    kind: Literal["majority_accuracy"] = "majority_accuracy"
    columns: ClassVar[tuple[str, ...]] = ("majority",)
    mean_of: ClassVar[str | None] = "majority"
    purpose: ClassVar[str] = "share of right votes over fresh draws of random parts (Wilson interval)"

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the share of right votes."""
        from clearsight.data.statistics import wilson

        right, n = int(rows["majority"].sum()), len(rows["majority"])
        low, high = wilson(right, n)
        return Estimate(right / n, low, high, "wilson")
