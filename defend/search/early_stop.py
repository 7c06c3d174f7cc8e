"""Early-stopped projected gradient ascent (FAT): no further than a few steps beyond the decision boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearsight.defend.search.balls import Norm, project, steepest_direction

Look = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (m, c, h, w) and their positions in the batch (m,), to logits (m, classes) and gradients of the
loss that is raised (m, c, h, w)."""


@dataclass(frozen=True)
class EarlyStopped:
    """What the search found.

    Attributes:
        images: (n, c, h, w), where each image stopped: what friendly adversarial training learns from.
        fooled: (n, c, h, w), the point last seen misclassified; equals ``images`` where there was none.
        left: int64 (n,), extra steps that were not used, 0 to tau.
        kappa: int64 (n,), steps at which the image was still classified correctly, 0 to steps: the
            distance from the boundary by which GAIRAT (Zhang et al. 2021) weighs an image.
        frozen: bool (n,), images that used up their extra steps; the others took all steps, and
            their last point was never looked at.
    """

    images: Tensor
    fooled: Tensor
    left: Tensor
    kappa: Tensor
    frozen: Tensor


def early_stopped(
    look: Look,
    centre: Tensor,
    start: Tensor,
    labels: Tensor,
    *,
    norm: Norm,
    eps: float,
    steps: int,
    step_size: float,
    tau: int,
    noise: Callable[[Tensor], Tensor] | None = None,
) -> EarlyStopped:
    """Run PGD-K-tau, the attack of friendly adversarial training (Zhang et al. 2020).

    Before each step the image is looked at. While it is classified correctly it moves; once it is not,
    each further step uses up one of ``tau`` extra ones; a misclassified image that has none left stays
    where it is and costs nothing more. With ``tau`` at least ``steps`` this is plain PGD.

    Args:
        look: gives logits and gradients; called with the images that still move.
        centre: (n, c, h, w) in [0, 1], the middle of the balls.
        start: (n, c, h, w), a point of each ball.
        labels: int64 (n,), the true classes.
        norm: of balls and steps.
        eps: radius of the balls.
        steps: K, the most steps that an image makes.
        step_size: length of one.
        tau: extra steps after the first misclassification.
        noise: positions (m,) to what is added to the step of those images (m, c, h, w), before it is
            projected; None: nothing.
    """
    x, fooled = start.clone(), start.clone()
    left = torch.full_like(labels, tau)
    kappa = torch.zeros_like(labels)
    frozen, ever = (torch.zeros_like(labels, dtype=torch.bool) for _ in range(2))
    active = torch.arange(len(labels), device=centre.device)
    for _ in range(steps):
        logits, gradient = look(x[active], active)
        wrong = logits.argmax(1) != labels[active]
        kappa[active] += (~wrong).to(kappa.dtype)
        ever[active[wrong]] = True
        fooled[active[wrong]] = x[active[wrong]]
        stay = wrong & (left[active] == 0)
        frozen[active[stay]] = True
        left[active[wrong & ~stay]] -= 1
        active, gradient = active[~stay], gradient[~stay]
        if not len(active):
            break
        moved = x[active] + step_size * steepest_direction(gradient, norm, x=x[active])
        if noise:
            moved = moved + noise(active)
        x[active] = project(moved, centre[active], norm, eps)
    fooled[~ever] = x[~ever]
    return EarlyStopped(x, fooled, left, kappa, frozen)
