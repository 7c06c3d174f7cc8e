"""Standard training: cross-entropy on the (cropped, flipped) images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.training.base import ClassifierMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch


class Standard(ClassifierMethod):
    """Minimise the cross-entropy of the labels."""

    kind: Literal["standard"] = "standard"
    purpose: ClassVar[str] = "cross-entropy, with label smoothing if wanted"

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the mean cross-entropy of the batch."""
        return self.cross_entropy(model(made.images), made.labels)
