"""Which class is nearest: target classes in the order in which a linear model would be fooled."""

from __future__ import annotations

import torch
from torch import Tensor

from clearsight.defend.search.balls import Norm, size
from clearsight.defend.target import AttackBatch, Target

DUAL: dict[Norm, Norm] = {"linf": "l1", "l2": "l2", "l1": "linf"}


def nearest_classes(target: Target, batch: AttackBatch, norm: Norm, count: int) -> tuple[Tensor, Tensor]:
    """Return ``count`` wrong classes by growing distance, and the distances (MALT, Melamed et al. 2024).

    The distance to class c is that of the linearised network, (z_y - z_c) / ||grad(z_c - z_y)||, in the dual
    norm. It costs one query and ``count`` backwards an image; classes with the lowest logits are left out.

    Args:
        target: the system.
        batch: n images.
        norm: of the perturbation.
        count: classes wanted.

    Returns:
        int64 (n, min(count, classes - 1)) and float (n, the same).
    """
    picked: list[Tensor] = []
    labels = batch.labels

    def gaps(logits: Tensor) -> Tensor:
        others = logits.detach().scatter(1, labels[:, None], -torch.inf)
        best = others.argsort(dim=1, descending=True, stable=True)[:, : min(count, logits.shape[1] - 1)]
        picked.append(best)
        return logits.gather(1, best) - logits.gather(1, labels[:, None])

    slope = target.gradient(batch.images, batch.rows, gaps)
    steep = torch.stack([size(each, DUAL[norm]) for each in slope.gradient.unbind(1)], dim=1)
    distance = -slope.losses / steep.clamp_min(1e-12)
    order = distance.argsort(dim=1, stable=True)
    # Random systems rank in every draw; the last draw's names fit the mean closely enough for an order.
    return picked[-1].gather(1, order), distance.gather(1, order)
