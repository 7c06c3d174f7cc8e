"""Negative log-likelihood of the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Nll(Measurement):
    """Mean negative log-likelihood (cross-entropy, nats) of the label."""

    kind: Literal["nll"] = "nll"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="loss",
            label="NLL",
            unit="nats",
            better="lower",
            meaning="negative log-likelihood",
        ),
    )
    purpose: ClassVar[str] = "mean cross-entropy of the label, in nats"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the cross-entropies."""
        from clearsight.pipelines.utility.classification import CLASSES

        return {"loss": CLASSES.loss(seen["logits"], seen["labels"])}
