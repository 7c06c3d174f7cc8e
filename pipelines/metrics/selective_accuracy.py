"""Accuracy of the images that are answered when the least sure are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Display, percent
from clearsight.pipelines.metrics.selective_base import Selective

if TYPE_CHECKING:
    from clearsight.data.contract.estimate import Estimate
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows

USUAL = 0.9


class SelectiveAccuracy(Selective):
    """Accuracy on the surest share of the images, with a Wilson score interval."""

    kind: Literal["selective_accuracy"] = "selective_accuracy"
    coverage: Annotated[float, Field(gt=0, le=1)] = USUAL
    """Share of the images that are answered."""
    display: ClassVar[Display | None] = percent(
        "Selective accuracy", "accuracy on the surest images: 90 % of them unless another share is given"
    )
    purpose: ClassVar[str] = "accuracy on the surest share of the images"

    @property
    def variant(self) -> str:
        """Return the coverage and the score, where they are not the usual ones."""
        share = f"{self.coverage:g}" if self.coverage != USUAL else ""
        return ",".join(filter(None, (share, super().variant)))

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the accuracy; nothing is drawn."""
        from clearsight.defend.uncertainty.risk_coverage import selective_accuracy

        return selective_accuracy(self.sureness(rows), 1.0 - rows["correct"], self.coverage)
