"""NoiLIn (Zhang et al. 2022): labels flipped at random during adversarial training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import BallMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng

Rate = Annotated[Number, Field(ge=0, le=1)]


class Noilin(BallMethod):
    """Adversarial training in which a share of the labels is flipped again each step, against overfitting.

    The share grows while the robust accuracy of the validation part falls: after each check at which that
    accuracy is below the one ``window`` checks before, it is multiplied by 1 + ``boost``. Attack and
    training step see the same flipped labels. With fewer checks than ``window`` it never grows: the paper
    checks after every epoch, so set ``checks`` of the recipe to the number of epochs.
    """

    kind: Literal["noilin"] = "noilin"
    purpose: ClassVar[str] = "adversarial training with flipped labels, against robust overfitting"

    lowest: Rate = 0.05
    """Share of the labels that is flipped at the beginning."""
    highest: Rate = 0.6
    """Largest share that it grows to."""
    window: Annotated[int, Field(ge=1)] = 10
    """Checks that an accuracy is compared over."""
    boost: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """Growth at one check."""
    halved_until: Rate = 0.75
    """Share of the budget up to which the limit is half of ``highest`` (90 of 120 epochs)."""
    flip: Literal["symmetric", "pair"] = "symmetric"
    """symmetric: to any other class at equal odds. pair: to the next one."""

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"'lowest' {self.lowest:g} is above 'highest' {self.highest:g}")
        return self

    def rate(self, history: Sequence[tuple[float, float]]) -> float:
        """Return the share of labels to flip.

        Args:
            history: share of the budget and accuracy of each check so far, oldest first.
        """
        rate = self.lowest
        for i, (share, accuracy) in enumerate(history):
            if i >= self.window and accuracy < history[i - self.window][1]:
                rate *= 1.0 + self.boost
            rate = min(rate, self.highest / 2 if share <= self.halved_until else self.highest)
        return rate

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return the attacked images with flipped labels."""
        import torch

        from clearsight.defend.search.modes import attacked

        with attacked(model), torch.no_grad():
            classes = model(batch.images[:1]).shape[1]
        generator = rng.at("flip").torch()
        chosen = torch.rand(labels.shape, generator=generator) < self.rate(batch.history)
        # 1 to classes - 1 further on: never back to the label itself.
        further = torch.randint(1, classes, labels.shape, generator=generator)
        moved = further if self.flip == "symmetric" else torch.ones_like(further)
        flipped = (labels + (moved * chosen).to(labels.device)) % classes
        return super().prepared(model, batch, flipped, rng)
