"""Adversarial weight perturbation (Wu et al. 2020), a switch of every method for classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from clearsight.data.contract.spec import Number, Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

TINY = 1e-20


class WeightPerturbation(Spec):
    """Learn at weights that were moved uphill first, which flattens the loss around the solution."""

    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.01
    """Length of the move, as a share of the norm of each layer's weights: 0.01 for adversarial training,
    0.005 for TRADES in the paper."""
    after: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Share of the budget from which on it is done."""

    def perturb(self, model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
        """Move the weights uphill and return a function that takes the move back.

        Only weights with two dimensions and more are moved, as in the paper: biases and norms stay. The
        running statistics of batch normalisation stay too.

        Args:
            model: in train mode.
            loss: computes the loss at the weights that the model then has.
        """
        import torch

        from clearsight.defend.search.modes import unrecorded

        weights = [
            parameter for parameter in model.parameters() if parameter.requires_grad and parameter.dim() > 1
        ]
        with unrecorded(model):
            slopes = torch.autograd.grad(loss(), weights, allow_unused=True)
        moves = [
            (weight, self.gamma * weight.detach().norm() / (slope.norm() + TINY) * slope)
            for weight, slope in zip(weights, slopes, strict=True)
            if slope is not None
        ]

        def moved(sign: float) -> None:
            with torch.no_grad():
                for weight, move in moves:
                    weight.add_(move, alpha=sign)

        moved(1.0)
        return lambda: moved(-1.0)
