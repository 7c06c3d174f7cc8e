"""The unbounded L2 attack of Carlini and Wagner (2017): the nearest misclassified image, by Adam."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clearsight.defend.search.balls import per_image, size
from clearsight.defend.search.losses import margin
from clearsight.defend.target import AttackBatch, Target

INSIDE = 1.0 - 1e-6
"""Pixels at 0 or 1 would have an infinite atanh; they start this share of the way to the bound."""
UNBOUNDED = 1e9
"""Upper end of the search over c while no c succeeded."""
DECAY = (0.9, 0.999)
"""Adam's decay of the two moments; its term against division by zero is `TINY`."""
TINY = 1e-8
LOOKS = 10
"""Checks in a search: an image whose objective has not fallen since the last one is given up."""
FALL = 0.9999
"""Share of its last value that the objective must have fallen to."""


@dataclass(frozen=True)
class Nearest:
    """The nearest misclassified images.

    Attributes:
        images: (n, c, h, w) in [0, 1]; where nothing was found, the point with the largest margin.
        distance: (n,), l2; infinite where nothing was found.
    """

    images: Tensor
    distance: Tensor


class _Adam:
    """Adam (Kingma and Ba 2015) with one step counter a batch: images leave it, none joins."""

    def __init__(self, like: Tensor, rate: float) -> None:
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)
        self.rate, self.clock = rate, 0

    def step(self, at: Tensor, gradient: Tensor) -> Tensor:
        """Return the step to subtract from the variables at positions ``at``."""
        self.clock += 1
        self.first[at] = DECAY[0] * self.first[at] + (1.0 - DECAY[0]) * gradient
        self.second[at] = DECAY[1] * self.second[at] + (1.0 - DECAY[1]) * gradient.square()
        mean = self.first[at] / (1.0 - DECAY[0] ** self.clock)
        spread = self.second[at] / (1.0 - DECAY[1] ** self.clock)
        return self.rate * mean / (spread.sqrt() + TINY)


def nearest(
    target: Target,
    batch: AttackBatch,
    *,
    steps: int,
    searches: int,
    c: float,
    kappa: float,
    rate: float,
) -> Nearest:
    """Minimise ||x - x0||^2 + c max(kappa - margin(x), 0) over x = (tanh(w) + 1) / 2, with c by bisection.

    The margin is the best other logit less the true one. A small c finds nothing, a large one finds what is
    needlessly far: c is multiplied by 10 until it succeeds, then halved towards the least that does.

    Args:
        target: the system.
        batch: images under attack.
        steps: of Adam in each search.
        searches: values of c that are tried.
        c: the first of them.
        kappa: margin that an image must reach to count as found.
        rate: Adam's learning rate.
    """
    n, device = len(batch), batch.images.device
    images = batch.images.clone()
    distance = torch.full((n,), torch.inf, device=device)
    highest = torch.full((n,), -torch.inf, device=device)
    low, high = torch.zeros(n, device=device), torch.full((n,), UNBOUNDED, device=device)
    weight = torch.full((n,), c, device=device)
    for _ in range(searches):
        found = _search(target, batch, weight, (images, distance, highest), steps, kappa, rate)
        high = torch.where(found, high.minimum(weight), high)
        low = torch.where(found, low, low.maximum(weight))
        weight = torch.where(high < UNBOUNDED, (low + high) / 2.0, 10.0 * weight)
    return Nearest(images, distance)


def _search(
    target: Target,
    batch: AttackBatch,
    weight: Tensor,
    best: tuple[Tensor, Tensor, Tensor],
    steps: int,
    kappa: float,
    rate: float,
) -> Tensor:
    """Run Adam once with these weights (n,), update ``best`` in place, return which succeeded (n,)."""
    start = batch.images
    variable = ((2.0 * start - 1.0) * INSIDE).atanh()
    adam = _Adam(variable, rate)
    active = torch.arange(len(batch), device=start.device)
    found = torch.zeros_like(active, dtype=torch.bool)
    before = torch.full_like(weight, torch.inf)
    interval = max(1, steps // LOOKS)
    for i in range(steps):
        x = (variable[active].tanh() + 1.0) / 2.0
        labels = batch.labels[active]
        slope = target.gradient(x, batch.rows[active], margin(labels))
        length = size(x - start[active], "l2")
        reached = (slope.logits.argmax(1) != labels) & (slope.losses >= kappa)
        found[active] |= reached
        _keep(best, active, x, length, slope.losses, reached)
        objective = length.square() + weight[active] * (kappa - slope.losses).clamp_min(0.0)
        pull = per_image(weight[active] * (slope.losses < kappa), x)
        downhill = 2.0 * (x - start[active]) - pull * slope.gradient
        # The derivative of x by w.
        variable[active] -= adam.step(active, downhill * 2.0 * x * (1.0 - x))
        if i % interval == interval - 1:
            falls = objective <= FALL * before[active]
            before[active] = objective
            active = active[falls]
            if not len(active):
                break
    return found


def _keep(
    best: tuple[Tensor, Tensor, Tensor],
    active: Tensor,
    x: Tensor,
    length: Tensor,
    margins: Tensor,
    reached: Tensor,
) -> None:
    images, distance, highest = best
    nearer = reached & (length < distance[active])
    closest = ~reached & distance[active].isinf() & (margins > highest[active])
    better = nearer | closest
    images[active[better]] = x[better]
    distance[active[nearer]] = length[nearer]
    highest[active[closest]] = margins[closest]
