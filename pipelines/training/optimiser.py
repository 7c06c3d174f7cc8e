"""One optimiser a network, and the schedule of its learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi

import torch
from torch import nn

from clearsight.pipelines.config.train import SGD, AdamW, Schedule


def optimiser(parameters: Iterable[nn.Parameter], how: SGD | AdamW) -> torch.optim.Optimizer:
    """Return the optimiser of a network; parameters with one axis (norms, biases) get no weight decay."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": how.decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(how, AdamW):
        return torch.optim.AdamW(groups, lr=how.rate, betas=how.betas)
    return torch.optim.SGD(groups, lr=how.rate, momentum=how.momentum, nesterov=how.momentum > 0)


def factor(schedule: Schedule, share: float) -> float:
    """Return the learning rate as a share of the highest one.

    Args:
        schedule: warm-up and final value.
        share: used-up part of the budget, in [0, 1].
    """
    # The first steps of a warm-up from exactly 0 would be wasted.
    if share < schedule.warmup:
        return max(share / schedule.warmup, 0.01)
    left = (share - schedule.warmup) / (1.0 - schedule.warmup) if schedule.warmup < 1 else 1.0
    return schedule.final + (1.0 - schedule.final) * 0.5 * (1.0 + cos(pi * min(left, 1.0)))


def set_rate(target: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in target.param_groups:
        group["lr"] = rate
