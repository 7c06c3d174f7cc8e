"""`Estimate`: a figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


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
