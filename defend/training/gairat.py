"""Geometry-aware instance-reweighted adversarial training (Zhang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import BallMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch


class GeometryAware(BallMethod):
    """Base of GAIRAT and of its friendly form: images near the boundary weigh more.

    Nearness is kappa, the number of attack steps at which the image was still classified correctly. Its
    authors concede that the gain under PGD does not hold under stronger attacks: measure AutoAttack too.
    """

    offset: Number = -1.0
    """Lambda of the paper: lower gives more of the weight to the images nearest to the boundary."""
    assign: Literal["tanh", "sigmoid", "discrete"] = "tanh"
    """How kappa becomes a weight: tanh is the paper's choice, the others its ablations."""
    after: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Share of the budget from which on images are weighted; before, all weigh the same (60 of 120)."""
    faithful: Literal["paper", "repo"] = "repo"
    """They differ where ``steps`` is odd: the code takes the integer part of steps / 2."""

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.steps < 2:
            raise ValueError("weights need an attack of 2 steps at least: with one, kappa says nothing")
        return self

    def weights(self, kappa: Tensor) -> Tensor:
        """Return the weight of each image (n,), of mean 1, for its kappa (n,) in 0 to ``steps``."""
        half = float(self.steps // 2) if self.faithful == "repo" else self.steps / 2
        if self.assign == "discrete":
            raw = (self.steps + 1 - kappa) / (self.steps + 1)
        else:
            level = self.offset + 5.0 * (half - kappa) / half
            # (tanh(x) + 1) / 2 is sigmoid(2 x), which keeps its digits where the weight is tiny.
            raw = (2.0 * level if self.assign == "tanh" else level).sigmoid()
        return raw * len(raw) / raw.sum()

    def objective(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the weighted mean of the cross-entropy of the attacked images."""
        logits = model(made.images)
        if batch.share < self.after or made.kappa is None:
            return self.cross_entropy(logits, made.labels)
        return (self.weights(made.kappa) * self.cross_entropy(logits, made.labels, mean=False)).mean()


class GAIRAT(GeometryAware):
    """Adversarial training in which images that an attack turns in few steps weigh more."""

    kind: Literal["gairat"] = "gairat"
    purpose: ClassVar[str] = "adversarial training that weighs images by their nearness to the boundary"
