"""Share of conformal sets that hold the true class."""

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


class SetCoverage(Measurement):
    """Share of images whose conformal set holds the true class, with a Wilson score interval.

    Only systems that end in a conformal part have it. Its promise is of images like those of the fit; under
    other corruptions and attacks this is what is left of it.
    """

    kind: Literal["set_coverage"] = "set_coverage"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="covered",
            dtype="bool",
            label="Coverage of sets",
            unit="%",
            scale=100.0,
            digits=1,
            meaning="share of conformal sets that hold the true class: to be compared with what is promised",
        ),
    )
    purpose: ClassVar[str] = "share of conformal sets that hold the true class (Wilson interval)"
    needs: ClassVar[frozenset[Need]] = frozenset({"sets", "labels"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return which sets hold the label."""
        return {"covered": seen["sets"].gather(1, seen["labels"][:, None])[:, 0]}

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the share of sets that hold the label."""
        return share(rows["covered"])
