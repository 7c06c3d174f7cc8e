"""Share of images whose class is right by a vote over fresh draws of a system's random parts."""

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


class MajorityAccuracy(Measurement):
    """Top-1 accuracy of the majority of ``draws`` fresh draws, with a Wilson score interval.

    Only systems with random parts have it; ``accuracy`` is that of a single draw.
    """

    kind: Literal["majority_accuracy"] = "majority_accuracy"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="majority",
            dtype="bool",
            label="Majority accuracy",
            unit="%",
            better="higher",
            scale=100.0,
            digits=1,
            meaning="share of images right by a vote over fresh draws",
        ),
    )
    purpose: ClassVar[str] = "share of right votes over fresh draws of random parts (Wilson interval)"
    needs: ClassVar[frozenset[Need]] = frozenset({"votes", "labels"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return which votes are right."""
        return {"majority": seen["votes"] == seen["labels"]}

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the share of right votes."""
        return share(rows["majority"])
