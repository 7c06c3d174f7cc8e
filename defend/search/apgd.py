"""Auto-PGD: gradient ascent that sets its own step lengths (Croce and Hein 2020; l1: Croce and Hein 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clearsight.defend.search import losses
from clearsight.defend.search.balls import Norm, flat, per_image, project, random_point, steepest_direction
from clearsight.defend.search.streams import Streams
from clearsight.defend.target import AttackBatch, Loss, Target

Raised = Callable[[Tensor], Loss]
"""Positions (m,) of batch, int64, to the loss that is raised for these."""
FIRST_WINDOW, SHRINK, LAST_WINDOW = 0.22, 0.03, 0.06
"""Steps from one checkpoint to the next, as shares of all steps: the first, what each loses, the least."""
FORWARD = 0.75
"""Weight of the gradient step; the rest is that of the previous step (momentum)."""
STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""l1: balls that are searched one after the other: radius in eps, share of the steps."""
L1_WINDOW = 0.04
"""l1: steps from one checkpoint to the next, as a share."""
DENSE, SPARSER, SHORTER, SHORTEST = 0.2, 1.5, 1.5, 10.0
"""l1: share of the values that move first; divisors of the support and the step; the step's largest one."""


@dataclass(frozen=True)
class Settings:
    """How far and how long to search.

    Attributes:
        norm: of the perturbation.
        eps: its radius, for pixels in [0, 1].
        steps: gradient steps of one start, 1 or more.
        rho: the step is halved where the loss rose in at most this share of the steps since the last check.
        step_size: length of the first steps, in eps; None: 2 for linf and l2, 1 for l1.
        widened: for l1 and 10 steps or more: search balls of 3 and 2 eps first.
    """

    norm: Norm
    eps: float
    steps: int = 100
    rho: float = 0.75
    step_size: float | None = None
    widened: bool = True

    @property
    def longest(self) -> float:
        """Return the length of the first steps, in eps."""
        return (1.0 if self.norm == "l1" else 2.0) if self.step_size is None else self.step_size

    @property
    def stages(self) -> tuple[tuple[float, int], ...]:
        """Return radius and steps of the balls that are searched one after the other; the last is eps."""
        if self.norm != "l1" or not self.widened or self.steps < 10:
            return ((self.eps, self.steps),)
        wide = [(factor * self.eps, math.ceil(share * self.steps)) for factor, share in STAGES[:-1]]
        return (*wide, (self.eps, self.steps - sum(steps for _, steps in wide)))


class Climbed(NamedTuple):
    """What a search found.

    Attributes:
        images: (n, c, h, w), in ball and cube: the first misclassified point, else that of the highest loss.
        broken: bool (n,), which ones are misclassified.
        margins: (n,), the highest logit of another class minus the true one's that was seen in the ball.
    """

    images: Tensor
    broken: Tensor
    margins: Tensor


def raised_by(name: str, labels: Tensor, targets: Tensor | None = None) -> Raised:
    """Return the loss called ``cross_entropy``, ``dlr``, ``margin``, ``dlr_targeted`` or ``difference``.

    Args:
        name: which one; the last two are raised towards ``targets``.
        labels: int64 (n,), the true classes of all images.
        targets: int64 (n,), one class for each image.
    """
    if targets is not None:
        towards, chosen = {"dlr_targeted": losses.dlr_towards, "difference": losses.difference}[name], targets
        return lambda at: towards(labels[at], chosen[at])
    away = {"cross_entropy": losses.cross_entropy, "dlr": losses.dlr, "margin": losses.margin}[name]
    return lambda at: away(labels[at])


def ranked_targets(target: Target, batch: AttackBatch, count: int) -> Tensor:
    """Return the other classes (n, min(count, classes - 1)) by falling logit; costs one query an image."""
    logits = target.logits(batch.images, batch.rows)
    others = logits.scatter(1, batch.labels[:, None], -torch.inf)
    ranked = others.argsort(dim=1, descending=True, stable=True)
    return ranked[:, : min(count, logits.shape[1] - 1)]


def ascend(
    target: Target,
    batch: AttackBatch,
    raised: Raised,
    settings: Settings,
    streams: Streams,
    at: Tensor,
    start: Tensor | None = None,
) -> Climbed:
    """Search from one start. An image is finished, and costs nothing any more, once it is misclassified.

    An image costs at most ``steps + 1`` queries and ``steps`` backwards; with wider balls ``steps + 5``
    queries. Where the system is random, every image is searched to the end, and one more query judges it.

    Args:
        target: the system.
        batch: n images.
        raised: the loss, see `raised_by`.
        settings: ball and schedule.
        streams: random numbers; used for a random start only.
        at: int64 (n,), the positions of the images in ``streams``.
        start: (n, c, h, w), where to begin; it is projected onto the ball. Wider balls are not searched then.
            None: at a random point.
    """
    results = _Found.of(batch)
    stages = settings.stages if start is None else ((settings.eps, settings.steps),)
    x = _random(batch.images, settings.norm, stages[0][0], streams, at) if start is None else start
    left = torch.arange(len(batch), device=batch.images.device)
    for number, (radius, steps) in enumerate(stages, 1):
        if not len(left):
            break
        kind = _Sparse if settings.norm == "l1" else _Momentum
        climb = kind(settings, radius, steps, left, batch.images[left], x)
        _climb(target, batch, raised, climb, steps, results if number == len(stages) else None)
        left, x = climb.at, climb.best
        if number < len(stages) and not target.stochastic:
            # Many are misclassified here already: one query saves them the stages that are left.
            inner = project(x, climb.centre, settings.norm, settings.eps)
            open_ = results.note(left, inner, target.logits(inner, batch.rows[left]), batch.labels[left])
            left, x = left[open_], x[open_]
    results.images[left] = x
    if target.stochastic:
        results.note(left, x, target.logits(x, batch.rows), batch.labels)
    return Climbed(results.images, results.broken, results.margins)


def _random(centre: Tensor, norm: Norm, radius: float, streams: Streams, at: Tensor) -> Tensor:
    if norm != "l1":
        return random_point(centre, norm, radius, streams, at)
    # Gaussian noise, far outside of the ball: its projection is sparse, as l1 attacks are.
    return project(centre + streams.normal(at, centre.shape[1:]), centre, norm, radius)


@dataclass
class _Found:
    """Results for the whole batch, as far as they are known."""

    images: Tensor
    broken: Tensor
    margins: Tensor

    @classmethod
    def of(cls, batch: AttackBatch) -> _Found:
        """Return results in which nothing is known yet."""
        images = batch.images
        broken = torch.zeros(len(batch), dtype=torch.bool, device=images.device)
        return cls(images.clone(), broken, images.new_full((len(batch),), -torch.inf))

    def note(self, at: Tensor, x: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Note what was seen at points of the ball; return which images (m,) are still classified right."""
        done = logits.argmax(1) != labels
        self.images[at[done]] = x[done]
        self.broken[at[done]] = True
        self.margins[at] = torch.maximum(self.margins[at], losses.margin(labels)(logits).to(self.margins))
        return ~done


def _climb(
    target: Target, batch: AttackBatch, raised: Raised, climb: _Climb, steps: int, results: _Found | None
) -> None:
    """Take all steps of one ball; with ``results``, note there what is misclassified, and drop it."""
    for i in range(steps + 1):
        if i:
            climb.move()
        rows, loss = batch.rows[climb.at], raised(climb.at)
        if i < steps:
            slope = target.gradient(climb.x, rows, loss)
            logits, height, gradient = slope.logits, slope.losses, slope.gradient
        else:
            # The last gradient would not be used.
            logits = target.logits(climb.x, rows)
            height, gradient = loss(logits), climb.gradient
        # A fresh draw of random parts may see the true class again: those are searched to the end.
        if results is not None and not target.stochastic:
            open_ = results.note(climb.at, climb.x, logits, batch.labels[climb.at])
            if not open_.all():
                climb.keep(open_)
                height, gradient = height[open_], gradient[open_]
            if not len(climb.at):
                return
        climb.see(height, gradient)
        if i:
            climb.adapt()


class _Climb:
    """Images on their way up. Every tensor has one row an image, so that finished ones can be dropped."""

    def __init__(
        self, settings: Settings, radius: float, steps: int, at: Tensor, centre: Tensor, x: Tensor
    ) -> None:
        """Begin at ``x`` (m, c, h, w), put into the ball of this radius."""
        self.settings, self.radius, self.window = settings, radius, 1
        self.longest = settings.longest * radius
        self.since = 0
        self.at, self.centre = at, centre
        self.x = project(x, centre, settings.norm, radius)
        self.gradient, self.best_gradient = torch.zeros_like(x), torch.zeros_like(x)
        self.best = self.x.clone()
        # The first look is neither a rise nor worse than anything.
        self.loss, self.best_loss = x.new_full((len(x),), torch.inf), x.new_full((len(x),), -torch.inf)
        self.rises = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.step_size = x.new_full((len(x),), self.longest)

    def move(self) -> None:
        """Take a step."""
        raise NotImplementedError

    def check(self) -> None:
        """Look back at the steps since the last checkpoint, and set the length of the next ones."""
        raise NotImplementedError

    def see(self, loss: Tensor, gradient: Tensor) -> None:
        """Take note of loss and gradient at ``x``."""
        self.rises += loss > self.loss
        self.loss, self.gradient = loss, gradient
        better = loss > self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best[better], self.best_gradient[better] = self.x[better], gradient[better]

    def adapt(self) -> None:
        """Count a step, and check where it is time."""
        self.since += 1
        if self.since == self.window:
            self.check()
            self.since, self.rises = 0, torch.zeros_like(self.rises)

    def return_to_best(self, chosen: Tensor) -> None:
        """Go on from the best point of these images, bool (m,)."""
        where = per_image(chosen, self.x)
        self.x = torch.where(where, self.best, self.x)
        self.gradient = torch.where(where, self.best_gradient, self.gradient)

    def keep(self, kept: Tensor) -> None:
        """Drop all images but these, bool (m,)."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor):
                setattr(self, name, value[kept])


class _Momentum(_Climb):
    """Schedule for linf and l2: steps with momentum; where they stop helping, halved, from the best point."""

    def __init__(
        self, settings: Settings, radius: float, steps: int, at: Tensor, centre: Tensor, x: Tensor
    ) -> None:
        """Begin at ``x``, with steps of 2 eps and the longest window."""
        super().__init__(settings, radius, steps, at, centre, x)
        self.window = max(int(FIRST_WINDOW * steps), 1)
        self.shrink, self.least = max(int(SHRINK * steps), 1), max(int(LAST_WINDOW * steps), 1)
        self.forward = 1.0
        self.before = self.x
        self.checked_loss = self.best_loss
        # The second condition looks back at an earlier checkpoint; the first has none.
        self.reduced = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def move(self) -> None:
        """Take a gradient step, mixed with the previous step."""
        norm, radius, x = self.settings.norm, self.radius, self.x
        ahead = x + per_image(self.step_size, x) * steepest_direction(self.gradient, norm)
        ahead = project(ahead, self.centre, norm, radius)
        mixed = x + self.forward * (ahead - x) + (1.0 - self.forward) * (x - self.before)
        self.before, self.x = x, project(mixed, self.centre, norm, radius)
        self.forward = FORWARD

    def check(self) -> None:
        """Halve the step where the loss rose too rarely, or neither best loss nor step changed since."""
        seldom = self.rises <= self.settings.rho * self.window
        stuck = ~self.reduced & (self.checked_loss >= self.best_loss)
        self.reduced = seldom | stuck
        self.checked_loss = self.best_loss
        self.step_size = torch.where(self.reduced, self.step_size / 2.0, self.step_size)
        self.return_to_best(self.reduced)
        self.window = max(self.window - self.shrink, self.least)


class _Sparse(_Climb):
    """Schedule for l1: the values of the largest gradients move, fewer as the perturbation gets sparser."""

    def __init__(
        self, settings: Settings, radius: float, steps: int, at: Tensor, centre: Tensor, x: Tensor
    ) -> None:
        """Begin at ``x``, with as many values as its perturbation suggests."""
        super().__init__(settings, radius, steps, at, centre, x)
        self.window = max(int(L1_WINDOW * steps), 1)
        self.support = self._support(self.x)
        self.moving = self._moving()

    def move(self) -> None:
        """Step along the signs of the largest gradients."""
        # Values that the cube stops already would take places of those that can still move.
        stopped = ((self.gradient > 0) & (self.x >= 1.0)) | ((self.gradient < 0) & (self.x <= 0.0))
        slope = flat(self.gradient.masked_fill(stopped, 0.0))
        largest = slope.abs().topk(int(self.moving.max()), dim=1).values
        least = largest.gather(1, self.moving[:, None] - 1)
        signs = slope.sign() * (slope.abs() >= least)
        length = self.step_size / signs.abs().sum(1).clamp_min(1.0)
        moved = self.x + (signs * length[:, None]).reshape(self.x.shape)
        self.x = project(moved, self.centre, "l1", self.radius)

    def check(self) -> None:
        """Take the best point's sparsity; shorten the step, or where it got sparser, begin anew there."""
        before, self.support = self.support, self._support(self.best)
        self.moving = self._moving()
        sparser = self.support < 0.95 * before
        shorter = (self.step_size / SHORTER).clamp_min(self.longest / SHORTEST)
        self.step_size = torch.where(sparser, torch.full_like(self.step_size, self.longest), shorter)
        self.return_to_best(sparser)

    def _support(self, x: Tensor) -> Tensor:
        return flat(x != self.centre).sum(1)

    def _moving(self) -> Tensor:
        # Rounded down, so that two values become one: only then a linear loss gets to its optimum.
        fewer = (self.support / SPARSER).long().clamp_min(1)
        dense = max(1, round(DENSE * self.centre[0].numel()))
        return torch.where(self.support > 0, fewer, dense)
