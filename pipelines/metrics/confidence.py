"""Confidence of the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Confidence(Measurement):
    """Mean largest softmax probability; needs no labels."""

    kind: Literal["confidence"] = "confidence"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="confidence",
            label="Confidence",
            unit="%",
            scale=100.0,
            digits=1,
            meaning="mean probability of the predicted class",
        ),
    )
    purpose: ClassVar[str] = "mean largest probability"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the largest probabilities."""
        from clearsight.defend.uncertainty.sureness import confidence

        return {"confidence": confidence(seen["logits"])}
