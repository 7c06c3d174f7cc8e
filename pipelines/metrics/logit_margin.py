"""Lead of the largest logit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class LogitMargin(Measurement):
    """Mean lead of the largest logit over the second; needs no labels."""

    kind: Literal["logit_margin"] = "logit_margin"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="logit_margin",
            label="Logit margin",
            digits=2,
            meaning="mean lead of the largest logit over the second",
        ),
    )
    purpose: ClassVar[str] = "mean lead of the largest logit over the second"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the leads."""
        from clearsight.defend.uncertainty.sureness import logit_margin

        return {"logit_margin": logit_margin(seen["logits"])}
