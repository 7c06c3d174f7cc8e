"""How like its augmented versions a classifier finds an image."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearsight.data.contract.errors import ConfigError
from clearsight.data.corruptions.pixels import GREY
from clearsight.defend.classifier import features_layer

SHIFT = 8
"""Shifts are an eighth of the shorter side."""


def _shifted(x: Tensor, down: int, right: int) -> Tensor:
    """Return images moved by an eighth of a side; pixels at the border are repeated."""
    by = max(1, min(x.shape[2], x.shape[3]) // SHIFT)
    padded = functional.pad(x, (by, by, by, by), mode="replicate")
    top, left = by * (1 - down), by * (1 - right)
    return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _cropped(x: Tensor) -> Tensor:
    """Return the middle three quarters, enlarged to the size of the whole."""
    height, width = x.shape[2] // SHIFT, x.shape[3] // SHIFT
    middle = x[:, :, height : x.shape[2] - height, width : x.shape[3] - width]
    return functional.interpolate(middle, size=x.shape[2:], mode="bilinear")


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(GREY, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True).expand_as(x)


VIEWS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda x: x.flip(3),
    lambda x: _shifted(x, 1, 0),
    lambda x: _shifted(x, -1, 0),
    lambda x: _shifted(x, 0, 1),
    lambda x: _shifted(x, 0, -1),
    lambda x: _shifted(x, 1, 1),
    lambda x: _shifted(x, -1, -1),
    _cropped,
    lambda x: _cropped(x).flip(3),
    lambda x: (1.25 * x).clamp(0, 1),
    lambda x: 0.75 * x,
    lambda x: 0.7 * x + 0.3 * x.mean(dim=(1, 2, 3), keepdim=True),
    _grey,
)
"""Augmented versions of images (n, c, h, w) in [0, 1]."""


class Neighbours(nn.Module):
    """A classifier, and what it says of an image's neighbours."""

    def __init__(self, classifier: nn.Module, rank: float, label_weight: float) -> None:
        """Keep the classifier.

        Args:
            classifier: images (n, c, h, w) to logits.
            rank: share of the neighbours that must be as like.
            label_weight: weight of the probabilities against the features.

        Raises:
            ConfigError: the classifier has no linear layer, whose input would be the features.
        """
        super().__init__()
        layer = features_layer(classifier)
        if layer is None:
            raise ConfigError(
                "the classifier has no linear layer whose input could serve as features",
                where="neighbourhood_consistency",
            )
        self.classifier, self.label_weight = classifier, label_weight
        self.place = ceil(rank * len(VIEWS))
        self.seen: list[Tensor] = []
        layer.register_forward_pre_hook(lambda _, given: self.seen.append(given[0].flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return 1 less the likeness (n,) that enough neighbours reach, of images (n, c, h, w)."""
        labels, features = self._looked(x)
        found = []
        for view in VIEWS:
            other_labels, other_features = self._looked(view(x))
            label = functional.cosine_similarity(labels, other_labels)
            feature = functional.cosine_similarity(features, other_features)
            found.append(self.label_weight * label + (1 - self.label_weight) * feature)
        return 1.0 - torch.stack(found, dim=1).topk(self.place, dim=1).values[:, -1]

    def _looked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and features."""
        self.seen.clear()
        probabilities = self.classifier(x).softmax(1)
        return probabilities, self.seen.pop()
