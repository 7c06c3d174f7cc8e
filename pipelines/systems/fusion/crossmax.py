"""CrossMax: a vote of several classifiers that no single one can dominate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Flow, Gradient
from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class CrossMax(FusionSpec):
    """The ``rank``-th largest logit of each class, after two normalisations (Fort & Lakshminarayanan 2024).

    Each branch's largest logit is taken off its logits, then each class's largest value over branches off
    that class. Its own gradient reaches few branches at a time, so that an attack that climbs it finds less
    than there is. Attacks therefore climb the mean of the branches in its place, while the value stays
    CrossMax's (``backward``).
    """

    kind: Literal["crossmax"] = "crossmax"
    purpose: ClassVar[str] = "the third largest logit of each class, of normalised branches"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    gives: ClassVar[Flow] = Flow.LOGITS
    gradient: ClassVar[Gradient] = Gradient.SURROGATE

    rank: Annotated[int, Field(ge=1, le=64)] = 3
    """Which value of each class counts, from the largest on; of fewer branches the smallest."""

    backward: Literal["mean", "own"] = "mean"
    """What attacks climb: the mean of the branches' log-probabilities, or CrossMax itself, as it was first
    evaluated. What is left under ``own`` alone is not to be believed."""

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the chosen values, (n, classes)."""
        import torch

        logits = torch.stack(list(inputs))
        if len(inputs) == 1:
            return logits[0]
        logits = logits - logits.amax(2, keepdim=True)
        logits = logits - logits.amax(0, keepdim=True)
        return logits.topk(min(self.rank, len(inputs)), dim=0).values[-1]

    def surrogate(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return what attacks climb, (n, classes)."""
        import torch

        if self.backward == "own":
            return self.fuse(inputs)
        return torch.stack([each.log_softmax(1) for each in inputs]).mean(0)
