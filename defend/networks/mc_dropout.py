"""`MCDropoutClassifier`: the mean probabilities of a classifier under dropout before its last layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.classifier import Classifier, features_layer


def kept(shape: Sequence[int], rate: float, generator: torch.Generator) -> Tensor:
    """Return a mask of dropout, float32: 0 with probability ``rate``, else 1 / (1 - rate)."""
    return (torch.rand(tuple(shape), generator=generator) >= rate).float() / (1 - rate)


class DroppedHead(nn.Module):
    """A linear layer that answers for features (n, d) with the logarithm of its mean probabilities.

    Attributes:
        generators: one an image of the next batch; whoever calls the network sets them.
    """

    generators: Sequence[torch.Generator] = ()

    def __init__(self, linear: nn.Linear, rate: float, samples: int, place: str) -> None:
        """Keep the layer; ``place`` is what messages call the classifier."""
        super().__init__()
        self.linear, self.rate, self.samples, self.place = linear, rate, samples, place

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, classes).

        Raises:
            ConfigError: the layer is given something else than one row of features an image.
        """
        if features.ndim != 2 or len(features) != len(self.generators):
            raise ConfigError(
                f"the last linear layer is given {tuple(features.shape)}, not one row an image",
                where=self.place,
                hint="use another classifier: dropout is applied to such rows",
            )
        shape = (self.samples, features.shape[1])
        masks = torch.stack([kept(shape, self.rate, generator) for generator in self.generators])
        logits: Tensor = self.linear(features[:, None] * masks.to(features))
        return logits.log_softmax(2).logsumexp(1) - log(self.samples)


class MCDropoutClassifier(Classifier):
    """Images (n, c, h, w) to the logarithm of their mean probabilities under dropout, (n, classes)."""

    def __init__(self, spec: ClassifierSpec) -> None:
        """Build the inner classifier and replace its last linear layer.

        Raises:
            ConfigError: it has none.
        """
        super().__init__(spec)
        if isinstance(self.network, Classifier):
            self.minimum = self.network.minimum
        layer = features_layer(self.network)
        if layer is None:
            raise ConfigError(
                "the classifier has no linear layer whose input could be dropped",
                where=self.place,
                hint="use another classifier",
            )
        rate, samples = getattr(spec, "rate"), getattr(spec, "samples")  # noqa: B009 (fields of mc_dropout)
        self.head = DroppedHead(layer, rate, samples, self.place)
        name = next(name for name, module in self.network.named_modules() if module is layer)
        self.network.set_submodule(name, self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities; masks come from the streams, an image each."""
        self.head.generators = self.generators(len(x))
        out: Tensor = self.network(x)
        return out
