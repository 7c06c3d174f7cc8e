"""Deviation of a loss from linearity between two points (Qin et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def linearity_gap(model: nn.Module, images: Tensor, moved: Tensor, labels: Tensor) -> Tensor:
    """Return |loss(moved) - loss(images) - (moved - images) . gradient(images)| of each image, (n,).

    The loss is the cross-entropy in nats. The result can be differentiated by the parameters.

    Args:
        model: images to logits.
        images: float32 (n, c, h, w).
        moved: float32 (n, c, h, w).
        labels: int64 (n,).
    """
    point = images.detach().requires_grad_()
    here = cross_entropy(model(point), labels, reduction="none")
    (slope,) = torch.autograd.grad(here.sum(), point, create_graph=True)
    there = cross_entropy(model(moved), labels, reduction="none")
    rise = ((moved - images) * slope).flatten(1).sum(1)
    return (there - here - rise).abs()
