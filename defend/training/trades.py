"""TRADES (Zhang et al. 2019): accuracy on clean images against the stability of the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import START, BallMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.defend.search.training_attack import TrainingAttack


class TRADESMethod(BallMethod):
    """Base of TRADES and of its friendly form.

    Two forward passes in train mode, first of the natural, then of the attacked images: batch
    normalisation records both. (The code of TRADES itself does the natural one twice, for the same loss and
    gradient; that of its friendly form does it once.)
    """

    divergence: ClassVar[bool] = True

    beta: Annotated[Number, Field(ge=0)] = 6.0
    """Weight of the stability term, 1 / lambda in the paper: more means robust, less means accurate."""
    faithful: Literal["paper", "repo"] = "repo"
    """paper: the stability term is the cross-entropy between the two predictions. repo: the authors' code
    has the Kullback-Leibler divergence, less by the entropy of the natural prediction, which then is not
    pressed to be certain. Published figures come from the code."""

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack: the divergence from the natural prediction, from a tiny normal start."""
        from clearsight.defend.search.training_attack import TrainingAttack

        return TrainingAttack(
            self.norm, self.eps, self.steps, self.size, START, spread="normal", divergence=self.divergence
        )

    def objective(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return CE(natural) + beta times the mean divergence of the attacked prediction from the natural."""
        natural = model(batch.images)
        moved = model(made.images)
        chances, logs = natural.softmax(1), moved.log_softmax(1)
        stable = -(chances * logs).sum(1)
        if self.faithful == "repo":
            stable = stable + (chances * natural.log_softmax(1)).sum(1)
        loss: Tensor = self.cross_entropy(natural, made.labels) + self.beta * stable.mean()
        return loss


class TRADES(TRADESMethod):
    """Cross-entropy of the clean images plus beta times how far an attack moves the prediction."""

    kind: Literal["trades"] = "trades"
    purpose: ClassVar[str] = "TRADES: clean accuracy plus beta times the stability under attack"
