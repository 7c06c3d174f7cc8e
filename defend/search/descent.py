"""The loop that iterative attacks share: look at the gradient, drop what is finished, move."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clearsight.defend.target import AttackBatch, GradientOutput, Target

Look = Callable[[Tensor, Tensor], GradientOutput]
"""Points (m, c, h, w) and their positions (m,) among the victims, to the gradient that is followed."""
Move = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Points, their gradients and positions, to the next points, in ball and cube."""
Once = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Positions (m,) that are left, to the ends of one start and which of them are misclassified, bool (m,)."""


def descend(
    target: Target, victims: AttackBatch, x: Tensor, *, steps: int, look: Look, move: Move
) -> tuple[Tensor, Tensor]:
    """Return the ends (n, c, h, w) of one start and which of them are misclassified, bool (n,).

    An image that is misclassified is finished, unless the system is random.

    Args:
        target: the system.
        victims: n images.
        x: (n, c, h, w), where they start; it is changed in place.
        steps: gradient steps.
        look: gives the gradient.
        move: takes a step.
    """
    labels = victims.labels
    active = torch.arange(len(victims), device=x.device)
    broken = torch.zeros(len(victims), dtype=torch.bool, device=x.device)
    for _ in range(steps):
        slope = look(x[active], active)
        done = slope.logits.argmax(1) != labels[active]
        if target.stochastic:
            # A fresh draw may see the true class again: on to the end, away from the boundary.
            done = torch.zeros_like(done)
        broken[active[done]] = True
        active, gradient = active[~done], slope.gradient[~done]
        if not len(active):
            return x, broken
        x[active] = move(x[active], gradient, active)
    last = target.logits(x[active], victims.rows[active])
    broken[active] = last.argmax(1) != labels[active]
    return x, broken


def retried(victims: AttackBatch, restarts: int, once: Once) -> Tensor:
    """Return, for each image, the misclassified point, or else the end of its last start.

    Only images that survived the starts before are tried again.
    """
    out = victims.images.clone()
    left = torch.arange(len(victims), device=out.device)
    for _ in range(restarts):
        if not len(left):
            break
        out[left], broken = once(left)
        left = left[~broken]
    return out
