"""Losses that attacks raise; each maps logits (m, classes) to one number an image (m,)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-12


def cross_entropy(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the loss -log softmax(logits)[label]."""
    return lambda logits: functional.cross_entropy(logits, labels, reduction="none")


def margin(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return max over the other classes minus the true one: positive where the image is misclassified.

    The loss of Carlini and Wagner (2017) with kappa unbounded.
    """
    return lambda logits: _best_other(logits, labels) - _of(logits, labels)


def dlr(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the difference-of-logits ratio (Croce and Hein 2020): free of the logits' shift and scale.

    Needs three classes.
    """

    def loss(logits: Tensor) -> Tensor:
        ranked = logits.sort(dim=1, descending=True).values
        return (_best_other(logits, labels) - _of(logits, labels)) / (ranked[:, 0] - ranked[:, 2] + TINY)

    return loss


def dlr_towards(labels: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the targeted difference-of-logits ratio (Croce and Hein 2020). Needs four classes."""

    def loss(logits: Tensor) -> Tensor:
        ranked = logits.sort(dim=1, descending=True).values
        spread = ranked[:, 0] - 0.5 * (ranked[:, 2] + ranked[:, 3])
        return (_of(logits, targets) - _of(logits, labels)) / (spread + TINY)

    return loss


def difference(labels: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the target's logit minus the true one's."""
    return lambda logits: _of(logits, targets) - _of(logits, labels)


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


def _best_other(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1)
