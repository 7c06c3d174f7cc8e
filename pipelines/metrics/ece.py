"""Expected calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Column, Display, percent
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.metrics.accuracy import Accuracy
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.metrics.confidence import Confidence

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows


class ECE(Metric):
    """Expected calibration error over confidence bins (Guo et al. 2017), corrected for small-sample bias."""

    kind: Literal["ece"] = "ece"
    revision: ClassVar[int] = 2
    bins: Annotated[int, Field(ge=1, le=1000)] = 15
    """Number of bins."""
    adaptive: bool = False
    """Bins of equal mass instead of equal width."""
    columns: ClassVar[tuple[Column, ...]] = (*Confidence.columns, *Accuracy.columns)
    display: ClassVar[Display | None] = percent("ECE", "expected calibration error", better="lower")
    purpose: ClassVar[str] = "gap between confidence and accuracy"

    @property
    def variant(self) -> str:
        """Return whether bins have equal mass, and how many there are, where that is unusual."""
        bins = "" if self.bins == 15 else f"{self.bins} bins"
        return ",".join(filter(None, ("equal mass" if self.adaptive else "", bins)))

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the calibration error in [0, 1]; nothing is drawn."""
        from clearsight.defend.calibration_error import calibration_error

        found = calibration_error(rows["confidence"], rows["correct"], self.bins, adaptive=self.adaptive)
        return Estimate(*found, "debiased")
