"""Mixes the probabilities of a robust and of an accurate classifier."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Flow, Number
from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class AdaptiveSmoothing(FusionSpec):
    """A weighted mean of probabilities: the first branch is the robust one (Bai et al. 2023).

    An accurate classifier decides where the robust one is unsure. It moves the lead of a class by no more
    than ``1 - weight``, so that an attack that turns it turns the mixture only where the robust one leads by
    less: the certificate of the same name says how far that reaches. The weight is fixed; the paper also
    learns it for each image.
    """

    kind: Literal["adaptive_smoothing"] = "adaptive_smoothing"
    purpose: ClassVar[str] = "mix the probabilities of a robust classifier with those of accurate ones"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    gives: ClassVar[Flow] = Flow.LOGITS

    weight: Annotated[Number, Field(ge=0.5, lt=1)] = 0.9
    """Weight of the first branch; the others share the rest evenly. Nothing is proved of one half."""
    robust_scale: Annotated[Number, Field(gt=0)] = 1.0
    """What the logits of the first branch are multiplied by: more makes it surer."""
    other_scale: Annotated[Number, Field(gt=0)] = 1.0
    """What the logits of the others are multiplied by."""

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logarithm of the mixture, (n, classes); of one branch alone, its log-probabilities."""
        import torch

        robust, *others = inputs
        found = (self.robust_scale * robust).log_softmax(1)
        if not others:
            return found
        share = log((1 - self.weight) / len(others))
        rest = [(self.other_scale * each).log_softmax(1) + share for each in others]
        return torch.stack([found + log(self.weight), *rest]).logsumexp(0)
