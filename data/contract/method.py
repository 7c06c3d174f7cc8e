"""`Method`: a way of training. The loop that runs it exists once, in ``pipelines/train.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from data.contract.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from data.contract.rng import Rng


@dataclass(frozen=True)
class TrainBatch:
    """What one step sees.

    Attributes:
        images: float32 (n, c, h, w) in [0, 1], augmented.
        labels: int64 (n,), or None where the data has none.
        ids: one stable name a picture.
    """

    images: Tensor
    labels: Tensor | None
    ids: tuple[str, ...]


class Method(Spec):
    """Base of training methods. A subclass adds ``kind``, hyper-parameters and ``step``."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    def players(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Return the groups of parameters that have an optimiser of their own (a GAN has two)."""
        return {"model": list(model.parameters())}

    def step(self, model: nn.Module, batch: TrainBatch, rng: Rng) -> Iterator[tuple[str, Tensor]]:
        """Yield (player, loss): the loop clears that player's gradients, backpropagates and steps it.

        Args:
            model: in train mode; the method may switch modes but leaves it in train mode.
            batch: one batch on the model's device.
            rng: the stream of this step; a method that draws per picture adds the picture's id.
        """
        raise NotImplementedError
