"""AugMix training (Hendrycks et al. 2020): mixed chains of simple operations, and a consistency loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from data.contract.errors import DataError
from data.contract.method import MODEL, Method, TrainBatch
from data.contract.spec import Number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from data.contract.rng import Rng


class AugMix(Method):
    """Cross-entropy on the picture plus the Jensen-Shannon divergence to two AugMix versions of it.

    The operations are autocontrast, equalize, posterize, rotate, solarize, shear and translate: none of them
    is one of the corruptions that robustness is measured with.
    """

    kind: Literal["augmix"] = "augmix"
    purpose: ClassVar[str] = "AugMix: robust to unseen corruptions without training on any of them"

    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability that is spread evenly over all classes."""
    width: Annotated[int, Field(ge=1, le=8)] = 3
    """Chains that are mixed."""
    depth: Annotated[int, Field(ge=1, le=8)] = 3
    """Longest chain; each chain has 1 to this many operations."""
    severity: Annotated[Number, Field(ge=0.1, le=10)] = 3.0
    """Strength of the operations (3 for 32 pixels in the paper)."""
    jsd: Annotated[Number, Field(ge=0)] = 12.0
    """Weight of the divergence. 0: train on one mix a picture instead, at a third of the cost."""

    def step(
        self, players: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the batch; the three versions go through the network as one batch."""
        import torch
        from torch.nn.functional import cross_entropy

        from defend.training.chains.mixing import mixed

        labels = batch.labels
        if labels is None:
            raise DataError("needs labels", where=self.kind)
        versions = mixed(
            batch.images,
            batch.ids,
            rng,
            copies=2 if self.jsd else 1,
            width=self.width,
            depth=self.depth,
            severity=self.severity,
        )
        if not self.jsd:
            yield (
                MODEL,
                cross_entropy(players[MODEL](versions[0]), labels, label_smoothing=self.label_smoothing),
            )
            return
        logits = players[MODEL](torch.cat([batch.images, *versions]))
        clean, first, second = logits.float().chunk(3)
        loss = cross_entropy(clean, labels, label_smoothing=self.label_smoothing)
        yield MODEL, loss + self.jsd * jensen_shannon(clean, first, second)


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
