"""The loop that iterative attacks share: look at the gradient, drop what is finished, climb."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clearsight.defend.target import AttackBatch, GradientOutput, Target

Look = Callable[[Tensor, Tensor], GradientOutput]
"""Points (m, c, h, w) and their positions (m,) in the batch, to the gradient that is followed."""
Move = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Points, their gradients and positions, to the next points, in ball and cube."""
Judge = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits (m, classes), points and positions, to the images that are finished, bool (m,)."""
Once = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Positions (m,) that are left, to the ends of one start and which of them are misclassified, bool (m,)."""


def gradient_ascent(
    target: Target,
    batch: AttackBatch,
    x: Tensor,
    *,
    steps: int,
    look: Look,
    move: Move,
    judge: Judge | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the ends (n, c, h, w) of one start and which images are finished, bool (n,).

    Args:
        target: the system.
        batch: n images.
        x: (n, c, h, w), where they start; it is changed in place.
        steps: gradient steps.
        look: gives the gradient.
        move: takes a step.
        judge: says which images are finished, before every step and at the end. Left out: those that are
            misclassified; where the system is random, none before the end, because a fresh draw may see
            the true class again.
    """

    def misclassified(logits: Tensor, points: Tensor, at: Tensor) -> Tensor:
        return logits.argmax(1) != batch.labels[at]

    wait = judge is None and target.stochastic
    judge = judge or misclassified
    active = torch.arange(len(batch), device=x.device)
    finished = torch.zeros(len(batch), dtype=torch.bool, device=x.device)
    for _ in range(steps):
        output = look(x[active], active)
        gradient = output.gradient
        if not wait:
            done = judge(output.logits, x[active], active)
            finished[active[done]] = True
            active, gradient = active[~done], gradient[~done]
        if not len(active):
            return x, finished
        x[active] = move(x[active], gradient, active)
    finished[active] = judge(target.logits(x[active], batch.rows[active]), x[active], active)
    return x, finished


class BestPoints:
    """The best point of each image so far.

    Attributes:
        images: (n, c, h, w).
        scores: (n,), what was reached there; -inf where no point was seen.
    """

    def __init__(self, images: Tensor) -> None:
        """Begin with these images (n, c, h, w), without scores."""
        self.images = images.clone()
        self.scores = torch.full((len(images),), -torch.inf, device=images.device)

    def update(self, at: Tensor, points: Tensor, scores: Tensor, *, wins: Tensor | None = None) -> None:
        """Take over the better points.

        Args:
            at: (m,), their positions.
            points: (m, c, h, w).
            scores: (m,).
            wins: bool (m,), points that are taken whatever their score.
        """
        better = scores > self.scores[at]
        if wins is not None:
            better = better | wins
        self.images[at[better]], self.scores[at[better]] = points[better], scores[better]


def retried(batch: AttackBatch, restarts: int, once: Once) -> Tensor:
    """Return, for each image, the misclassified point, or else the end of its last start.

    Only images that survived the starts before are tried again.
    """
    out = batch.images.clone()
    left = torch.arange(len(batch), device=out.device)
    for _ in range(restarts):
        if not len(left):
            break
        out[left], broken = once(left)
        left = left[~broken]
    return out
