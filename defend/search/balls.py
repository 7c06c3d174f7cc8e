"""Norm balls around images, cut by the cube [0, 1]: projection, random points, steepest steps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from clearsight.defend.search.streams import Streams

Norm = Literal["linf", "l2", "l1"]
TINY = 1e-12


def flat(x: Tensor) -> Tensor:
    """Return (n, everything else)."""
    return x.reshape(x.shape[0], -1)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Return (n,) as (n, 1, 1, ...), to be broadcast with ``like`` (n, ...)."""
    return values.reshape(-1, *([1] * (like.dim() - 1)))


def size(delta: Tensor, norm: Norm) -> Tensor:
    """Return the norm (n,) of each perturbation (n, ...)."""
    if norm == "linf":
        return flat(delta).abs().amax(1)
    out: Tensor = torch.linalg.vector_norm(flat(delta), ord=2 if norm == "l2" else 1, dim=1)
    return out


def project(x: Tensor, centre: Tensor, norm: Norm, eps: float) -> Tensor:
    """Return the point of the ball around ``centre``, cut by [0, 1], that takes the place of ``x``.

    Exact Euclidean projection for linf and l1. For l2 the perturbation is scaled and then clamped, as the
    reference attacks do it; what comes out lies in ball and cube.

    Args:
        x: (n, ...).
        centre: (n, ...), in [0, 1].
        norm: which ball.
        eps: its radius, 0 or more.
    """
    if norm == "linf":
        return x.clamp(min=centre - eps, max=centre + eps).clamp(0.0, 1.0)
    if norm == "l2":
        delta = x - centre
        length = per_image(size(delta, "l2"), delta)
        return (centre + delta * (eps / length.clamp_min(TINY)).clamp_max(1.0)).clamp(0.0, 1.0)
    return centre + _project_l1(x - centre, centre, eps)


def _project_l1(delta: Tensor, centre: Tensor, eps: float) -> Tensor:
    """Project onto the intersection of the l1 ball and the cube (Croce and Hein 2021, "Mind the box").

    The solution is clamp(soft(delta, t), lower, upper) with the least threshold t >= 0 whose l1 norm is at
    most eps; the norm falls monotonically and piecewise linearly in t, with knots at |delta| and |delta| less
    its bound.
    """
    wanted, start = flat(delta), flat(centre)
    sign, amount = wanted.sign(), wanted.abs()
    # How far each value may go in the direction it wants to go.
    room = torch.where(sign > 0, 1.0 - start, start)

    def norm_at(threshold: Tensor) -> Tensor:
        return (amount - threshold[:, None]).clamp_min(0.0).minimum(room).sum(1)

    zero = torch.zeros_like(amount[:, 0])
    inside = norm_at(zero) <= eps
    # Values that never reach their bound have one knot, the others two.
    knots = torch.cat((amount, (amount - room).clamp_min(0.0)), dim=1).sort(dim=1).values
    low = torch.zeros_like(zero, dtype=torch.int64)
    high = torch.full_like(low, knots.shape[1] - 1)
    # Bisection over the sorted knots: norm_at(knots[low]) > eps >= norm_at(knots[high]) in the end.
    for _ in range(knots.shape[1].bit_length()):
        middle = (low + high) // 2
        above = norm_at(knots.gather(1, middle[:, None])[:, 0]) > eps
        low = torch.where(above, middle, low)
        high = torch.where(above, high, middle)
    left, right = (knots.gather(1, i[:, None])[:, 0] for i in (low, high))
    at_left, at_right = norm_at(left), norm_at(right)
    share = ((at_left - eps) / (at_left - at_right).clamp_min(TINY)).clamp(0.0, 1.0)
    threshold = torch.where(at_left <= eps, left, left + share * (right - left))
    threshold = torch.where(inside, zero, threshold)
    out = sign * (amount - threshold[:, None]).clamp_min(0.0).minimum(room)
    # A threshold far above eps is rounded more coarsely than eps: what is left over is scaled away.
    excess = out.abs().sum(1, keepdim=True)
    return (out * (eps / excess.clamp_min(TINY)).clamp_max(1.0)).reshape(delta.shape)


def usual_step(eps: float, steps: int) -> float:
    """Return 2.5 eps / steps: so many steps reach any point of a ball from any other (Madry et al. 2018)."""
    return 2.5 * eps / steps


def random_point(centre: Tensor, norm: Norm, eps: float, streams: Streams, at: Tensor) -> Tensor:
    """Return a random point of the ball cut by [0, 1]; uniform in the uncut ball for linf and l2.

    For l1: a Laplace direction scaled to the radius, projected (as a start of an attack, sparse ones serve).
    """
    shape = centre.shape[1:]
    if norm == "linf":
        return (centre + eps * (2.0 * streams.uniform(at, shape) - 1.0)).clamp(0.0, 1.0)
    direction = streams.normal(at, shape)
    if norm == "l2":
        count = direction[0].numel()
        radius = eps * streams.uniform(at, (1,))[:, 0] ** (1.0 / count)
        scale = radius / size(direction, "l2").clamp_min(TINY)
        return project(centre + direction * per_image(scale, direction), centre, norm, eps)
    laplace = direction.sign() * -(1.0 - streams.uniform(at, shape)).clamp_min(TINY).log()
    scale = eps / size(laplace, "l1").clamp_min(TINY)
    return project(centre + laplace * per_image(scale, laplace), centre, norm, eps)


def steepest_direction(
    gradient: Tensor, norm: Norm, *, x: Tensor | None = None, sparsity: float = 0.05
) -> Tensor:
    """Return the direction of norm 1 in which a linear loss rises fastest.

    Args:
        gradient: (n, ...).
        norm: the norm of the direction.
        x: (n, ...), where the step starts; for l1 it rules out values that are at their bound already.
        sparsity: for l1, share of the values that move together (Tramer and Boneh 2019, SLIDE).
    """
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        return gradient / per_image(size(gradient, "l2").clamp_min(TINY), gradient)
    free = gradient
    if x is not None:
        blocked = ((gradient > 0) & (x >= 1.0)) | ((gradient < 0) & (x <= 0.0))
        free = gradient.masked_fill(blocked, 0.0)
    amount = flat(free).abs()
    count = max(1, round(sparsity * amount.shape[1]))
    least = amount.topk(count, dim=1).values[:, -1:]
    chosen = flat(free).sign() * (amount >= least)
    return (chosen / chosen.abs().sum(1, keepdim=True).clamp_min(1.0)).reshape(gradient.shape)
