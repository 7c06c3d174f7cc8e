"""The search of the Square Attack: random squares, kept where they raise the loss. Needs scores only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Literal

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.search import losses
from clearsight.defend.search.balls import TINY, Norm, flat, per_image, project, size
from clearsight.defend.search.streams import Streams
from clearsight.defend.target import AttackBatch, Target

BLOCK = 128
"""Queries that one draw of random numbers serves."""
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the changed share of the image is halved, of `SCHEDULED`."""
SCHEDULED = 10_000
PLACES = 5
"""Random numbers of a query beside the signs: two corners and the orientation of the pattern."""
TILES = 5
"""Patterns along each side of the first perturbation for l2 and l1."""
LOSSES = {"margin": losses.margin, "cross_entropy": losses.cross_entropy}


def random_squares(
    target: Target,
    batch: AttackBatch,
    rng: Rng,
    *,
    norm: Norm,
    eps: float,
    queries: int = 5000,
    p_init: float = 0.8,
    loss: Literal["margin", "cross_entropy"] = "margin",
    restarts: int = 1,
    rescaled: bool = True,
) -> tuple[Tensor, Tensor]:
    """Search the ball by random squares (Andriushchenko et al. 2020; l1 as in AutoAttack).

    An image that is misclassified is finished and costs nothing any more.

    Args:
        target: shows scores.
        batch: n images that are classified correctly.
        rng: for first points, places and signs.
        norm: which ball.
        eps: its radius.
        queries: proposals for each image and start; the first point costs one more.
        p_init: share of the image's area that the first squares change.
        loss: what is raised.
        restarts: starts; only images that survived the ones before are tried again.
        rescaled: stretch the schedule of sizes, made for 10000 queries, to the budget; false: cut it off.

    Returns:
        The best point of each image (n, c, h, w), in the last start that it took part in, and which of them
        are misclassified, bool (n,).
    """
    streams = Streams(rng, batch.ids)
    images = batch.images.clone()
    broken = torch.zeros(len(batch), dtype=torch.bool, device=images.device)
    for _ in range(restarts):
        left = (~broken).nonzero()[:, 0]
        if not len(left):
            break
        hunt = _begin(batch, left, streams, norm, eps)
        hunt.ask(target, hunt.best, loss)
        hunt = _without_misclassified(hunt, images, broken)
        for query in range(queries):
            if not len(hunt.at):
                break
            if query % BLOCK == 0:
                hunt.draws = streams.uniform(hunt.at, (BLOCK, PLACES + images.shape[1]))
            share = share_at(p_init, query, queries if rescaled else SCHEDULED)
            propose = _square if norm == "linf" else _pattern
            tried = propose(hunt.best, hunt.centre, hunt.draws[:, query % BLOCK], share, norm, eps)
            hunt.ask(target, tried, loss)
            hunt = _without_misclassified(hunt, images, broken)
        images[hunt.at] = hunt.best
    return images, broken


@dataclass
class _Hunt:
    """The unfinished images.

    Attributes:
        at: (m,) their positions in the batch.
        rows: (m,) the target's indices of them.
        labels: (m,).
        centre: (m, c, h, w), the images.
        best: (m, c, h, w), the best points so far.
        score: (m,) loss there.
        done: (m,) True where the best point is misclassified.
        draws: (m, BLOCK, PLACES + c) random numbers in [0, 1).
    """

    at: Tensor
    rows: Tensor
    labels: Tensor
    centre: Tensor
    best: Tensor
    score: Tensor
    done: Tensor
    draws: Tensor

    def ask(self, target: Target, tried: Tensor, loss: str) -> None:
        """Query the target; keep the tried points that are misclassified or raise the loss."""
        logits = target.logits(tried, self.rows)
        score = LOSSES[loss](self.labels)(logits)
        self.done = logits.argmax(1) != self.labels
        better = self.done | (score > self.score)
        self.score = torch.where(better, score, self.score)
        self.best = torch.where(per_image(better, tried), tried, self.best)

    def of(self, kept: Tensor) -> _Hunt:
        """Return the images ``kept``, bool (m,)."""
        return _Hunt(**{name: value[kept] for name, value in vars(self).items()})


def _begin(batch: AttackBatch, at: Tensor, streams: Streams, norm: Norm, eps: float) -> _Hunt:
    some = batch.of(at)
    first = (_stripes if norm == "linf" else _tiles)(some.images, streams, at, norm, eps)
    score = torch.full((len(at),), -torch.inf, device=at.device)
    empty = first.new_zeros((len(at), 0))
    return _Hunt(at, some.rows, some.labels, some.images, first, score, score > 0, empty)


def _without_misclassified(hunt: _Hunt, images: Tensor, broken: Tensor) -> _Hunt:
    """Note the images that are misclassified now and return the hunt for the others."""
    if not hunt.done.any():
        return hunt
    finished = hunt.at[hunt.done]
    images[finished], broken[finished] = hunt.best[hunt.done], True
    return hunt.of(~hunt.done)


def share_at(p_init: float, query: int, queries: int) -> float:
    """Return the share of the area that a query changes, by the paper's schedule stretched to ``queries``."""
    at = query * SCHEDULED // queries
    return p_init / float(2 ** sum(at > knot for knot in HALVINGS))


def _signs(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0)


def _corner(numbers: Tensor, room: int) -> Tensor:
    """Return positions 0 to room, int64 (m,)."""
    return (numbers * (room + 1)).long().clamp_max(room)


def _stripes(centre: Tensor, streams: Streams, at: Tensor, norm: Norm, eps: float) -> Tensor:
    """Return vertical stripes of random sign: the first point for linf."""
    signs = streams.signs(at, (centre.shape[1], 1, centre.shape[3]))
    return project(centre + eps * signs, centre, norm, eps)


def _square(best: Tensor, centre: Tensor, draws: Tensor, share: float, norm: Norm, eps: float) -> Tensor:
    """Return the points with one square at +eps or -eps in every channel."""
    h, w = centre.shape[2:]
    side = min(max(round(sqrt(share * h * w)), 1), h, w)
    inside = []
    for numbers, length in ((draws[:, 0], h), (draws[:, 1], w)):
        offset = torch.arange(length, device=best.device) - _corner(numbers, length - side)[:, None]
        inside.append((offset >= 0) & (offset < side))
    window = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    change = 2.0 * eps * _signs(draws[:, PLACES:])[:, :, None, None] * window
    tried = project(best + change, centre, norm, eps)
    # Nothing would be learned from a query that changes nothing: flip the signs.
    same = flat(tried == best).all(1)
    if same.any():
        tried[same] = project(best[same] - change[same], centre[same], norm, eps)
    return tried


def _tiles(centre: Tensor, streams: Streams, at: Tensor, norm: Norm, eps: float) -> Tensor:
    """Return a grid of patterns of random sign and orientation: the first point for l2 and l1."""
    _, c, h, w = centre.shape
    side = max(min(h, w) // TILES, 1)
    rows, columns = h // side, w // side
    draws = streams.uniform(at, (rows * columns, 1 + c))
    top, left = (h - rows * side) // 2, (w - columns * side) // 2
    delta = torch.zeros_like(centre)
    for i in range(rows * columns):
        y, x = top + i // columns * side, left + i % columns * side
        signs = _signs(draws[:, i, 1:])[:, :, None, None]
        delta[:, :, y : y + side, x : x + side] = signs * oriented(side, draws[:, i, 0], norm)
    return _to_radius(delta, centre, norm, eps)


def _pattern(best: Tensor, centre: Tensor, draws: Tensor, share: float, norm: Norm, eps: float) -> Tensor:
    """Return the points with the perturbation of one window moved into another one, in a new pattern.

    What the second window held, and what the ball has left, is given to the first one.
    """
    c, h, w = centre.shape[1:]
    # An odd side of at least 3 has a centre, which the patterns need.
    side = min(max(round(sqrt(share * h * w)), 3) | 1, h, w)
    delta = best - centre
    used = _power(delta, norm, (1, 2, 3))
    into = _window(best, _corner(draws[:, 0], h - side), _corner(draws[:, 1], w - side), side)
    taken = _window(best, _corner(draws[:, 2], h - side), _corner(draws[:, 3], w - side), side)
    old = delta[into]
    freed = _power(old, norm, (2, 3))
    delta[into] = 0.0
    freed = freed + _power(delta[taken], norm, (2, 3))
    delta[taken] = 0.0
    signs = _signs(draws[:, PLACES:])[:, :, None, None]
    fresh = signs * oriented(side, draws[:, 4], norm) + old / _root(_power(old, norm, (2, 3)), norm)
    spare = (eps ** (2 if norm == "l2" else 1) - used).clamp_min(0.0) / c + freed
    # For l1, where the projection is what bounds the step, the window gets the share of all channels.
    worth = _root(spare, norm) if norm == "l2" else spare * c
    delta[into] = fresh / _root(_power(fresh, norm, (2, 3)), norm) * worth
    return _to_radius(delta, centre, norm, eps)


def _to_radius(delta: Tensor, centre: Tensor, norm: Norm, eps: float) -> Tensor:
    if norm == "l2":
        scale = eps / size(delta, norm).clamp_min(TINY)
        return (centre + delta * per_image(scale, delta)).clamp(0.0, 1.0)
    return project(centre + delta, centre, norm, eps).clamp(0.0, 1.0)


def _power(delta: Tensor, norm: Norm, over: tuple[int, ...]) -> Tensor:
    """Return the sum of squares (l2) or of absolute values (l1)."""
    return (delta.square() if norm == "l2" else delta.abs()).sum(over, keepdim=True)


def _root(power: Tensor, norm: Norm) -> Tensor:
    return (power.sqrt() if norm == "l2" else power).clamp_min(TINY)


def _window(like: Tensor, top: Tensor, left: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the index of one window (side, side) in every channel of each image."""
    along = torch.arange(side, device=like.device)
    image = torch.arange(like.shape[0], device=like.device)[:, None, None, None]
    channel = torch.arange(like.shape[1], device=like.device)[:, None, None]
    return image, channel, (top[:, None] + along)[:, None, :, None], (left[:, None] + along)[:, None, None]


def oriented(side: int, numbers: Tensor, norm: Norm) -> Tensor:
    """Return the pattern (m, 1, side, side) of norm 1, upright or lying as the numbers (m,) say."""
    upright = _upright(side, norm).to(numbers.device)
    lying = (numbers > 0.5)[:, None, None]
    return torch.where(lying, upright.T, upright)[:, None]


@cache
def _upright(side: int, norm: Norm) -> Tensor:
    """Return a hill above a hollow, (side, side), of norm 1."""
    upper = side // 2
    halves = [_hill(upper, side, norm), -_hill(side - upper, side, norm)]
    pattern = torch.cat([half for half in halves if len(half)])
    return pattern / _root(_power(pattern, norm, (0, 1)), norm)


def _hill(h: int, w: int, norm: Norm) -> Tensor:
    """Return a hill (h, w) of norm 1: the sum of 1 / k^2 (l1: 1 / k^4) from the distance to its middle on."""
    if h == 0:
        return torch.zeros(0, w)
    y, x = torch.arange(h) - h // 2, torch.arange(w) - w // 2
    distance = torch.maximum(y.abs()[:, None], x.abs()[None])
    k = torch.arange(1, max(h, w) // 2 + 2, dtype=torch.float32)
    terms = k ** (-2.0 if norm == "l2" else -4.0)
    hill = terms.flip(0).cumsum(0).flip(0)[distance]
    return hill / _root(_power(hill, norm, (0, 1)), norm)
