"""Mean number of classes in conformal sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class SetSize(Measurement):
    """Mean number of classes in the conformal sets; an empty set counts 0. It needs no labels.

    Only systems that end in a conformal part have it.
    """

    kind: Literal["set_size"] = "set_size"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="set_size",
            label="Size of sets",
            unit="classes",
            better="lower",
            digits=2,
            meaning="mean number of classes in a conformal set; small sets of enough coverage are good",
        ),
    )
    purpose: ClassVar[str] = "mean number of classes in conformal sets"
    needs: ClassVar[frozenset[Need]] = frozenset({"sets"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the sizes."""
        return {"set_size": seen["sets"].sum(1).float()}
