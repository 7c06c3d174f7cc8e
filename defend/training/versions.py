"""`VersionsMethod`: training on random versions of an image, held together by a consistency loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import ClassifierMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


class VersionsMethod(ClassifierMethod):
    """Base of methods that learn from versions of an image. A subclass adds ``kind`` and `versions`."""

    width: Annotated[int, Field(ge=1, le=8)] = 3
    """Chains that are mixed."""
    depth: Annotated[int, Field(ge=1, le=8)] = 3
    """Longest chain; each chain has 1 to this many operations."""
    jsd: Annotated[Number, Field(ge=0)] = 12.0
    """Weight of the divergence. 0: train on one mix an image instead, at a third of the cost."""

    def versions(self, batch: TrainBatch, rng: Rng, copies: int) -> tuple[Tensor, ...]:
        """Hook: return so many versions of the batch's images, each (n, c, h, w) in [0, 1]."""
        raise NotImplementedError

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return the images and two versions of each, one after the other; or one version alone."""
        import torch

        made = self.versions(batch, rng, 2 if self.jsd else 1)
        return Prepared(torch.cat([batch.images, *made]) if self.jsd else made[0], labels)

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the loss of the batch; the three versions go through the network as one batch."""
        logits = model(made.images)
        if not self.jsd:
            return self.cross_entropy(logits, made.labels)
        clean, first, second = logits.float().chunk(3)
        return self.cross_entropy(clean, made.labels) + self.jsd * jensen_shannon(clean, first, second)


def jensen_shannon(*logits: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence (nats) of several predictions, averaged over the batch.

    Args:
        logits: two or more tensors (n, k); the divergence is that of their softmax distributions.
    """
    import torch

    logs = torch.stack([each.log_softmax(1) for each in logits])
    chances = logs.exp()
    # The floor keeps the logarithm finite; it is the authors' constant.
    middle = chances.mean(0).clamp(1e-7, 1.0).log()
    return (chances * (logs - middle)).sum(2).mean()
