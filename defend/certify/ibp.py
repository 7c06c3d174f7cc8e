"""Interval bound propagation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.certify.bounding import Bounding

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.defend.bounds.layers import Layer


class IBP(Bounding):
    """Boxes through every layer of a sequential network (Gowal et al. 2018): quick, and loose.

    The last layer is bounded together with the difference of two logits. Tight only for networks that were
    trained for it.
    """

    kind: Literal["ibp"] = "ibp"
    purpose: ClassVar[str] = "linf radius by intervals through every layer; quick and loose"

    def margins(self, layers: Sequence[Layer], low: Tensor, high: Tensor, rivals: Tensor) -> Tensor:
        """Return lower bounds of differences of logits."""
        from clearsight.defend.bounds import intervals

        return intervals.margins(layers, low, high, rivals)
