"""Area under the risk-coverage curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Display, percent
from clearsight.pipelines.metrics.selective_base import Selective

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.estimate import Estimate
    from clearsight.data.contract.rng import Rng
    from clearsight.pipelines.metrics.base import Rows


class AURC(Selective):
    """Area under the risk-coverage curve (Geifman & El-Yaniv 2017): mean error over all coverages.

    It is 0 for a classifier that never errs; one whose score says nothing has its error rate.
    """

    kind: Literal["aurc"] = "aurc"
    display: ClassVar[Display | None] = percent(
        "AURC", "error of the surest images, averaged over all coverages", better="lower", digits=2
    )
    purpose: ClassVar[str] = "area under the risk-coverage curve"

    def over_images(self, rows: Rows) -> NDArray[np.float64] | None:
        """Return every image's part in the area."""
        from clearsight.defend.uncertainty.risk_coverage import aurc_parts

        return self.computed(aurc_parts, rows)

    def mean(self, values: NDArray[np.float64], rng: Rng, confidence: float = 0.95) -> Estimate:
        """Return the mean of the areas, from the images' mean parts in them."""
        from clearsight.defend.uncertainty.risk_coverage import area_estimate

        return area_estimate(values, rng, confidence)
