"""`Metric`: one number with an interval, from the per-sample rows of a cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from clearsight.data.contract.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng

    Rows = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the method of the interval."""

    value: float
    low: float
    high: float
    method: str

    def rounded(self) -> Self:
        """Return it with ten significant digits, so that platforms agree."""
        from clearsight.data.statistics import significant

        value, low, high = (significant(number) for number in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)


class Metric(Spec):
    """Base of metrics. A subclass adds ``kind``, ``columns`` and the hook ``estimate``."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns of the rows that it reads; a sample where one of them is missing (nan) is left out."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""
    mean_of: ClassVar[str | None] = None
    """Column that it is the plain mean of, where it is one: such metrics are averaged over conditions too."""

    def __call__(self, rows: Rows, rng: Rng) -> Estimate | None:
        """Return the estimate, or None where no sample has the columns.

        Args:
            rows: column name -> one float a sample; booleans as 0 and 1, missing as nan.
            rng: stream for resampling.
        """
        import numpy as np

        chosen = {name: rows[name] for name in self.columns if name in rows}
        if len(chosen) < len(self.columns):
            return None
        present = ~np.any([np.isnan(column) for column in chosen.values()], axis=0)
        if not present.any():
            return None
        return self.estimate({name: column[present] for name, column in chosen.items()}, rng)

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Hook: return the estimate over at least one complete sample."""
        raise NotImplementedError


class MeanMetric(Metric):
    """Base of metrics that are the mean of one column, with a bootstrap interval. Subclasses set both."""

    def estimate(self, rows: Rows, rng: Rng) -> Estimate:
        """Return the mean with a percentile-bootstrap interval over samples."""
        from clearsight.data.statistics import bootstrap_mean

        column = rows[self.columns[0]]
        low, high = bootstrap_mean(column, rng)
        return Estimate(float(column.mean()), low, high, "bootstrap")
