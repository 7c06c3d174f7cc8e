"""Area under the risk-coverage curve above that of the best order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Display, percent
from clearsight.pipelines.metrics.aurc import AURC

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.pipelines.metrics.base import Rows


class ExcessAURC(AURC):
    """Area under the risk-coverage curve, less that of a score that puts all errors last.

    From Geifman, Uziel & El-Yaniv 2019. It judges the score alone: 0 where every error is less sure than
    every right answer.
    """

    kind: Literal["excess_aurc"] = "excess_aurc"  # type: ignore[assignment]
    display: ClassVar[Display | None] = percent(
        "Excess AURC", "AURC less that of the best order for as many errors", better="lower", digits=2
    )
    purpose: ClassVar[str] = "AURC above that of the best order"

    def over_images(self, rows: Rows) -> NDArray[np.float64] | None:
        """Return every image's part in the excess."""
        from clearsight.defend.uncertainty.risk_coverage import excess_parts

        return self.computed(excess_parts, rows)
