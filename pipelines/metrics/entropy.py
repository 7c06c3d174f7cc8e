"""Entropy of the probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Entropy(Measurement):
    """Mean entropy of the probabilities (nats); needs no labels."""

    kind: Literal["entropy"] = "entropy"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="entropy",
            label="Entropy",
            unit="nats",
            digits=3,
            meaning="mean entropy of the probabilities",
        ),
    )
    purpose: ClassVar[str] = "mean entropy of the probabilities, in nats"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the entropies."""
        from clearsight.defend.uncertainty.sureness import entropy

        return {"entropy": entropy(seen["logits"])}
