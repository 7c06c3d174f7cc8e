"""Standard training: cross-entropy on the (cropped, flipped) pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from data.contract.errors import DataError
from data.contract.method import MODEL, Method, TrainBatch
from data.contract.spec import Number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from data.contract.rng import Rng


class Standard(Method):
    """Minimise the cross-entropy of the labels."""

    kind: Literal["standard"] = "standard"
    purpose: ClassVar[str] = "cross-entropy, with label smoothing if wanted"

    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability that is spread evenly over all classes (Szegedy et al. 2016)."""

    def step(
        self, players: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean cross-entropy of the batch."""
        from torch.nn.functional import cross_entropy

        if batch.labels is None:
            raise DataError("needs labels", where=self.kind)
        logits = players[MODEL](batch.images)
        yield MODEL, cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
