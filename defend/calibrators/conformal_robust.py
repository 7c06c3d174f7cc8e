"""Conformal sets whose promise holds under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number, PartSpec
from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from torch import Tensor


class ConformalRobust(ConformalSpec):
    """Sets that hold the true class of attacked images too (RSCP+, Yan et al. 2024, of the score 1 - p).

    It stands behind a ``smoothed`` classifier, which the image enters as it is. The smoothed score of a
    class, as a normal quantile, moves by ``eps / sigma`` at most where the image moves by ``eps`` in L2
    (Gendron et al. 2021); how far its mean over the samples lies from the expectation is bounded by
    Hoeffding's inequality, wrong with probability ``beta`` for the image and for what the attack made of it.
    The threshold is therefore that of ``alpha - 2 beta``, on the scores of clean images.

    The promise: with a probability of ``1 - alpha`` at least the set of an image that is exchangeable with
    those of the fit, moved by ``eps`` at most before the noise is drawn, holds its true class.
    """

    kind: Literal["conformal_robust"] = "conformal_robust"
    purpose: ClassVar[str] = "sets that hold the true class under attack, behind a smoothed classifier"
    fixed_by_weights: ClassVar[frozenset[str]] = ConformalSpec.fixed_by_weights | {"sigma", "samples", "beta"}

    eps: Annotated[Number, Field(ge=0)] = 0.125
    """L2 norm of the attack, for values in [0, 1]."""
    sigma: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Of the classifier's noise: the paper takes twice ``eps``."""
    samples: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Of the classifier's."""
    beta: Annotated[Number, Field(gt=0, lt=0.5)] = 0.001
    """Probability that a mean lies farther from its expectation than is allowed for."""

    @model_validator(mode="after")
    def _room_for_error(self) -> Self:
        if 2 * self.beta >= self.alpha:
            raise ValueError(f"beta: twice {self.beta:g} leaves nothing of alpha {self.alpha:g}")
        return self

    @property
    def error(self) -> float:
        """Return how far a mean of scores in [0, 1] may lie from its expectation (Hoeffding 1963)."""
        return sqrt(log(1.0 / self.beta) / (2.0 * self.samples))

    @property
    def kept(self) -> float:
        """Return the alpha of the threshold."""
        return self.alpha - 2.0 * self.beta

    def misplaced(self, before: Sequence[PartSpec]) -> str:
        """Return what is wrong with the parts before it, in the order of a chain; empty where nothing is.

        Args:
            before: those between the image and this part.
        """
        first = before[0] if len(before) == 1 else None
        if first is None or getattr(first, "kind", "") != "smoothed":
            return "it holds only behind one classifier of kind smoothed, which takes the image as it is"
        told = getattr(first, "sigma", None), getattr(first, "samples", None)
        if told != (self.sigma, self.samples):
            return (
                f"the classifier has sigma {told[0]:g} and {told[1]} samples,"
                f" the sets are made for {self.sigma:g} and {self.samples}"
            )
        return ""

    def scores(self, probabilities: Tensor, draws: Tensor | None) -> Tensor:
        """Return 1 - p, of mean probabilities."""
        return 1.0 - probabilities

    def sets(self, logits: Tensor, fitted: Mapping[str, Tensor], draws: Tensor | None) -> Tensor:
        """Return the sets, bool (n, classes), of logarithms of mean probabilities."""
        import torch

        self.check_classes(logits, fitted)
        scores = self.scores(logits.double().softmax(1), draws)
        low = torch.special.ndtri((scores - self.error).clamp(0, 1))
        high = torch.special.ndtri((fitted["threshold"].double() + self.error).clamp(0, 1))
        inside: Tensor = low <= high + self.eps / self.sigma
        return inside

    def about(self) -> str:
        """Return what is promised."""
        return f"{super().about()}, after an attack of L2 norm {self.eps:g} at most too"
