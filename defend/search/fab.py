"""The search of FAB: the nearest misclassified point, by projections onto linearised decision boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.search.balls import TINY, Norm, per_image, size
from clearsight.defend.search.halfspace import step_onto
from clearsight.defend.search.losses import difference, margin
from clearsight.defend.search.streams import Streams
from clearsight.defend.target import AttackBatch, Target

POLISH = 3
"""Steps of the final search along the line to the image (section 3 of the paper)."""
NEAR = 1.1
"""With a radius, the final search is worth its queries up to this many radii."""
AIM = 0.05
"""Share of the way back, from where the line is expected to cross the boundary, that is kept as reserve."""


@dataclass(frozen=True)
class Pace:
    """How FAB moves.

    Attributes:
        steps: for each start.
        alpha_max: largest weight of the step from the image itself, which pulls the search towards it.
        eta: how far to go beyond the linearised boundary; 1 ends on it.
        beta: a misclassified point is drawn back to this share of its distance.
    """

    steps: int = 100
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9


def nearest(
    target: Target,
    batch: AttackBatch,
    rng: Rng,
    *,
    norm: Norm,
    eps: float = inf,
    targets: int = 9,
    restarts: int = 1,
    pace: Pace | None = None,
) -> tuple[Tensor, Tensor]:
    """Look for the nearest misclassified point of each image (FAB-T of Croce and Hein 2020).

    One search for each of the classes that the image is most easily confused with. An image is finished, and
    costs nothing any more, when a misclassified point within ``eps`` is known.

    Args:
        target: shows gradients.
        batch: n images that are classified correctly.
        rng: for the starts after the first one.
        norm: measure of distance.
        eps: distance that is near enough; infinite: look for the least one.
        targets: classes that are tried, at most one less than there are.
        restarts: starts for each class; the first one is the image, the others are random points within
            half of eps or of the distance that is known.
        pace: lengths of the steps.

    Returns:
        The nearest misclassified points (n, c, h, w) and their distances (n,): infinite, with the image
        itself, where none was found. With a finite ``eps``, distances above it are no minima.
    """
    logits = target.logits(batch.images, batch.rows)
    others = logits.scatter(1, batch.labels[:, None], -inf)
    ranked = others.sort(dim=1, descending=True, stable=True).indices
    search = _Search(target, batch, Streams(rng, batch.ids), norm, eps, pace or Pace())
    for k in range(min(targets, target.classes - 1)):
        for start in range(restarts):
            search.cascade(ranked[:, k], random=start > 0)
    search.polish(margin(batch.labels)(logits))
    return search.images, search.distance


class _Search:
    """The nearest points known so far.

    Attributes:
        images: (n, c, h, w).
        distance: (n,), infinite where nothing is known.
        margin: (n,) of the logits there.
        enough: distance at which an image is finished.
    """

    def __init__(
        self, target: Target, batch: AttackBatch, streams: Streams, norm: Norm, eps: float, pace: Pace
    ) -> None:
        self.target, self.batch, self.streams = target, batch, streams
        self.norm, self.eps, self.pace = norm, eps, pace
        self.enough = eps if isfinite(eps) else 0.0
        self.images = batch.images.clone()
        self.distance = torch.full((len(batch),), inf, device=self.images.device)
        self.margin = torch.zeros_like(self.distance)

    def cascade(self, towards: Tensor, *, random: bool) -> None:
        """Search from one start, for the images that are not finished, towards the classes (n,)."""
        at = (self.distance > self.enough).nonzero()[:, 0]
        if not len(at):
            return
        run = _Run(at, self._start(at, random=random))
        for step in range(self.pace.steps):
            self._look(run, towards, ~run.known)
            self._move(run)
            last = step + 1 == self.pace.steps
            wrong = self._judge(run, towards, last=last)
            run.x[wrong] = self.pace.beta * run.x[wrong] + (1.0 - self.pace.beta) * self._centre(run)[wrong]
            run.known &= ~wrong
            run.expected = wrong
            open_ = self.distance[run.at] > self.enough
            if not open_.all():
                run = run.of(open_)
            if not len(run.at):
                return

    def _centre(self, run: _Run) -> Tensor:
        return self.batch.images[run.at]

    def _start(self, at: Tensor, *, random: bool) -> Tensor:
        centre = self.batch.images[at]
        if not random:
            return centre.clone()
        shape = centre.shape[1:]
        draw = self.streams.normal(at, shape)
        if self.norm == "linf":
            draw = 2.0 * self.streams.uniform(at, shape) - 1.0
        reach = 0.5 * self.distance[at].clamp_max(self.eps)
        # Where no distance is known at all, there is no scale for a random start.
        reach = torch.where(reach.isfinite(), reach, 0.0) / size(draw, self.norm).clamp_min(TINY)
        return (centre + draw * per_image(reach, draw)).clamp(0.0, 1.0)

    def _look(self, run: _Run, towards: Tensor, chosen: Tensor) -> Tensor:
        """Compute the gradient at the chosen points (bool (m,)); return the logits there."""
        if not chosen.any():
            return run.x.new_zeros((0, self.target.classes))
        at = run.at[chosen]
        loss = difference(self.batch.labels[at], towards[at])
        slope = self.target.gradient(run.x[chosen], self.batch.rows[at], loss)
        run.value[chosen], run.slope[chosen] = slope.losses, slope.gradient
        run.known |= chosen
        return slope.logits

    def _move(self, run: _Run) -> None:
        """Step onto the linearised boundary from the point and from the image; mix and overshoot."""
        centre, pace = self._centre(run), self.pace
        # The linear model, read at the image.
        at_centre = run.value + (run.slope * (centre - run.x)).flatten(1).sum(1)
        both = step_onto(
            torch.cat((run.x, centre)),
            torch.cat((run.slope, run.slope)),
            torch.cat((run.value, at_centre)),
            self.norm,
        )
        here, there = both.chunk(2)
        near, far = (size(step, self.norm).clamp_min(1e-8) for step in (here, there))
        alpha = per_image((near / (near + far)).clamp_max(pace.alpha_max), here)
        mixed = (1.0 - alpha) * (run.x + pace.eta * here) + alpha * (centre + pace.eta * there)
        run.x, run.known = mixed.clamp(0.0, 1.0), torch.zeros_like(run.known)

    def _judge(self, run: _Run, towards: Tensor, *, last: bool) -> Tensor:
        """Return which points (bool (m,)) are misclassified, and note those that are nearer than before.

        Where the step before ended misclassified, this one mostly does too, and the next gradient is wanted
        elsewhere: a forward pass is enough. Elsewhere the gradient that comes next brings the logits along.
        """
        quick = run.expected | last
        logits = run.x.new_empty((len(run.at), self.target.classes))
        if quick.any():
            logits[quick] = self.target.logits(run.x[quick], self.batch.rows[run.at[quick]])
        if not quick.all():
            logits[~quick] = self._look(run, towards, ~quick)
        return self._note(run.at, run.x, logits)

    def _note(self, at: Tensor, x: Tensor, logits: Tensor) -> Tensor:
        labels = self.batch.labels[at]
        wrong = logits.argmax(1) != labels
        reached = size(x - self.batch.images[at], self.norm)
        better = wrong & (reached < self.distance[at])
        self.images[at[better]], self.distance[at[better]] = x[better], reached[better]
        self.margin[at[better]] = margin(labels)(logits)[better]
        return wrong

    def polish(self, before: Tensor) -> None:
        """Draw the points back along the line to their images, by false position on the margin.

        Args:
            before: (n,) margins of the images themselves.
        """
        centre = self.batch.images
        way = self.images - centre
        low, high = torch.zeros_like(self.distance), torch.ones_like(self.distance)
        under, over = before.clone(), self.margin.clone()
        reach = NEAR * self.eps
        for _ in range(POLISH):
            near = self.distance.isfinite() & (self.distance > self.enough) & (self.distance <= reach)
            at = near.nonzero()[:, 0]
            if not len(at):
                return
            crossing = (-under[at] / (over[at] - under[at]).clamp_min(TINY)).clamp(0.0, 1.0)
            share = low[at] + (crossing + AIM * (1.0 - crossing)) * (high - low)[at]
            x = (centre[at] + way[at] * per_image(share, way)).clamp(0.0, 1.0)
            logits = self.target.logits(x, self.batch.rows[at])
            reached = margin(self.batch.labels[at])(logits)
            wrong = self._note(at, x, logits)
            high[at[wrong]], over[at[wrong]] = share[wrong], reached[wrong]
            low[at[~wrong]], under[at[~wrong]] = share[~wrong], reached[~wrong]


class _Run:
    """Where the unfinished images of one start are.

    Attributes:
        at: (m,) positions of these images in the batch.
        x: (m, c, h, w).
        known: (m,) True where value and slope belong to ``x``.
        value: (m,) target's logit minus the true one's.
        slope: (m, c, h, w), its gradient.
        expected: (m,) True where the last step ended misclassified.
    """

    def __init__(self, at: Tensor, x: Tensor) -> None:
        self.at, self.x = at, x
        self.slope = torch.zeros_like(x)
        self.value = torch.zeros(len(at), device=x.device)
        self.known = torch.zeros(len(at), dtype=torch.bool, device=x.device)
        self.expected = self.known.clone()

    def of(self, kept: Tensor) -> _Run:
        """Return the images ``kept``, bool (m,)."""
        some = _Run(self.at[kept], self.x[kept])
        some.slope, some.value = self.slope[kept], self.value[kept]
        some.known, some.expected = self.known[kept], self.expected[kept]
        return some
