"""`SmoothedClassifier`: the mean probabilities of a classifier under Gaussian noise."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from clearsight.defend.base import ClassifierSpec
from clearsight.defend.classifier import Classifier

MOST = 512
"""Noisy images that are computed together."""


class SmoothedClassifier(Classifier):
    """Images (n, c, h, w) to the logarithm of their mean probabilities under noise, (n, classes)."""

    def __init__(self, spec: ClassifierSpec) -> None:
        """Build the inner classifier, whose least size is taken over."""
        super().__init__(spec)
        if isinstance(self.network, Classifier):
            self.minimum = self.network.minimum
        self.sigma: float = getattr(spec, "sigma")  # noqa: B009 (a spec of kind smoothed has it)
        self.samples: int = getattr(spec, "samples")  # noqa: B009

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities; noise comes from the streams, an image each."""
        generators = self.generators(len(x))
        return torch.stack(
            [self._mean(image, generator) for image, generator in zip(x, generators, strict=True)]
        )

    def _mean(self, image: Tensor, generator: torch.Generator) -> Tensor:
        parts = []
        for start in range(0, self.samples, MOST):
            count = min(MOST, self.samples - start)
            noise = torch.randn((count, *image.shape), generator=generator).to(image)
            parts.append(self.network(image + self.sigma * noise).log_softmax(1))
        return torch.cat(parts).logsumexp(0) - log(self.samples)
