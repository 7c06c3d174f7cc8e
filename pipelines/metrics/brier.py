"""Brier score."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Brier(Measurement):
    """Mean squared distance between probabilities and the one-hot label, 0 to 2 (Brier 1950)."""

    kind: Literal["brier"] = "brier"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="brier",
            label="Brier score",
            better="lower",
            meaning="squared error of the probabilities",
        ),
    )
    purpose: ClassVar[str] = "squared distance of probabilities to the truth, 0 to 2"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the squared distances."""
        from torch.nn.functional import one_hot

        logits = seen["logits"]
        truth = one_hot(seen["labels"], logits.shape[1])
        return {"brier": (logits.softmax(1) - truth).square().sum(1)}
