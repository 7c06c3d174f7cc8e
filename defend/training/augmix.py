"""AugMix training (Hendrycks et al. 2020): mixed chains of simple operations, and a consistency loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import ClassifierMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


class AugMix(ClassifierMethod):
    """Cross-entropy on the image plus the Jensen-Shannon divergence to two AugMix versions of it.

    The operations are autocontrast, equalize, posterize, rotate, solarize, shear and translate: none of them
    is one of the corruptions that robustness is measured with.
    """

    kind: Literal["augmix"] = "augmix"
    purpose: ClassVar[str] = "AugMix: robust to unseen corruptions without training on any of them"

    width: Annotated[int, Field(ge=1, le=8)] = 3
    """Chains that are mixed."""
    depth: Annotated[int, Field(ge=1, le=8)] = 3
    """Longest chain; each chain has 1 to this many operations."""
    severity: Annotated[Number, Field(ge=0.1, le=10)] = 3.0
    """Strength of the operations (3 for 32 pixels in the paper)."""
    jsd: Annotated[Number, Field(ge=0)] = 12.0
    """Weight of the divergence. 0: train on one mix an image instead, at a third of the cost."""

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return the images and two versions of each, one after the other; or one version alone."""
        import torch

        from clearsight.defend.training.chains.mixing import mixed

        versions = mixed(
            batch.images,
            batch.ids,
            rng,
            copies=2 if self.jsd else 1,
            width=self.width,
            depth=self.depth,
            severity=self.severity,
        )
        return Prepared(torch.cat([batch.images, *versions]) if self.jsd else versions[0], labels)

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
