"""MART (Wang et al. 2020): adversarial training that looks at misclassified images apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import START, BallMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.defend.search.training_attack import TrainingAttack

FLOORS = (1.0001, 1e-12, 1.0000001)
"""The authors' constants: 1.0001 in place of 1 in the margin, 1e-12 within logarithms, 1.0000001 in place of
1 in the weight."""


class MART(BallMethod):
    """A margin-enhanced cross-entropy of the attacked images plus a weighted stability term.

    The stability of a prediction counts the more, the less sure the network is of the natural image. Two
    forward passes in train mode, first of the natural, then of the attacked images.
    """

    kind: Literal["mart"] = "mart"
    purpose: ClassVar[str] = "MART: stability weighted by how badly the clean image is classified"

    beta: Annotated[Number, Field(ge=0)] = 6.0
    """Weight of the stability term, lambda in the paper; 6 in the authors' code for wide networks."""
    faithful: Literal["paper", "repo"] = "repo"
    """paper: exact logarithms, and a uniform start of the attack. repo: the authors' code has a normal start
    of 0.001 and floors within the logarithms, which bound the loss of hopeless images."""

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack."""
        from clearsight.defend.search.training_attack import TrainingAttack

        if self.faithful == "paper":
            return super().training_attack(share)
        return TrainingAttack(self.norm, self.eps, self.steps, self.size, START, spread="normal")

    def objective(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the mean of BCE(attacked) + beta (1 - p(label | natural)) KL(natural, attacked)."""
        labels = made.labels[:, None]
        surely, moved = model(batch.images).log_softmax(1), model(made.images)
        natural = surely.exp()
        chances, logs = moved.softmax(1), moved.log_softmax(1)
        rival = chances.scatter(1, labels, -1.0).argmax(1, keepdim=True)
        if self.faithful == "repo":
            one, floor, whole = FLOORS
            margin = -(one - chances.gather(1, rival)[:, 0] + floor).log()
            logs = (chances + floor).log()
        else:
            whole = 1.0
            # log(1 - p) as a sum over the other classes: exact where p is near 1.
            margin = moved.logsumexp(1) - moved.scatter(1, rival, -float("inf")).logsumexp(1)
        boosted = self.cross_entropy(moved, made.labels, mean=False) + margin
        divergence = (natural * (surely - logs)).sum(1)
        unsure = whole - natural.gather(1, labels)[:, 0]
        loss: Tensor = (boosted + self.beta * unsure * divergence).mean()
        return loss
