"""Averages the probabilities of several classifiers, or of one classifier on several images."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import Flow
from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class MeanProbabilities(FusionSpec):
    """Mean of the probabilities: the arithmetic mean of the branches' predictions (Gao et al. 2023, DDA).

    A confident branch outvotes several unsure ones; in `mean_logits`, the geometric mean, a branch that rules
    a class out does. The output is the logarithm of the mean, so that softmax gives the mean back.
    """

    kind: Literal["mean_probabilities"] = "mean_probabilities"
    purpose: ClassVar[str] = "average the branches' probabilities"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    gives: ClassVar[Flow] = Flow.LOGITS

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logarithm of the mean over the branches, (n, classes)."""
        import torch

        return torch.stack([x.log_softmax(1) for x in inputs]).logsumexp(0) - log(len(inputs))
