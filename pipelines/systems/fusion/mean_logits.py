"""Averages the logits of several classifiers, or of one classifier on several images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import Flow
from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class MeanLogits(FusionSpec):
    """Mean of the log-probabilities: the normalised geometric mean of the branches' predictions."""

    kind: Literal["mean_logits"] = "mean_logits"
    purpose: ClassVar[str] = "average the branches' log-probabilities"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    gives: ClassVar[Flow] = Flow.LOGITS

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the mean over the branches, (n, classes)."""
        import torch

        return torch.stack([x.log_softmax(1) for x in inputs]).mean(0)
