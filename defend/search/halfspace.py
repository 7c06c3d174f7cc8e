"""The shortest step from a point onto a hyperplane that stays in the cube [0, 1], for linf, l2 and l1."""

from __future__ import annotations

import torch
from torch import Tensor

from clearsight.defend.search.balls import Norm, flat


def step_onto(x: Tensor, slope: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """Return the shortest d with value + <slope, d> = 0 and x + d in [0, 1], up to rounding.

    Every pixel moves, if at all, in the direction that brings the value to zero; write s >= 0 for how far and
    a for the size of its slope. Then <a, s> = abs(value) is wanted with 0 <= s <= room. For linf the optimum
    is s = min(level, room), for l2 s = a * min(level, room / a) (from the Lagrangian, whose multiplier is the
    level): either way what is gained, a concave piecewise linear function of the level, is inverted exactly
    over its sorted knots. For l1 the steepest pixels are used up one after the other.

    Where the hyperplane does not meet the cube, every pixel goes to its bound: the corner next to it.

    Args:
        x: (n, ...), in [0, 1].
        slope: (n, ...), gradient of the linear function.
        value: (n,), the function at ``x``.
        norm: what "shortest" means.

    Returns:
        (n, ...); zero where the slope is.
    """
    start, steepness = flat(x), flat(slope).abs()
    direction = -value.sign()[:, None] * flat(slope).sign()
    room = torch.where(direction > 0, 1.0 - start, start).clamp_min(0.0)
    room = room.masked_fill(direction == 0, 0.0)
    if norm == "l1":
        length = _greedy(steepness, room, value.abs())
    else:
        length = _level(steepness, room, value.abs(), scaled=norm == "l2")
    return (direction * length).reshape(x.shape)


def _level(steepness: Tensor, room: Tensor, wanted: Tensor, *, scaled: bool) -> Tensor:
    """Return lengths u * min(level, room / u) that gain ``wanted``; u is the steepness if scaled, else 1."""
    unit = steepness if scaled else torch.ones_like(steepness)
    knots = torch.where(room > 0, room / unit.clamp_min(1e-30), 0.0)
    ranked, order = knots.sort(dim=1)
    # float64: the sums run over all pixels.
    rate = (steepness * unit).gather(1, order).double()
    full = (rate * ranked).cumsum(1)
    # Of the pixels after the k-th, none is at its bound when the level reaches the k-th knot.
    growing = rate.sum(1, keepdim=True) - rate.cumsum(1)
    gained = full + growing * ranked
    k = (gained < wanted[:, None]).sum(1, keepdim=True)
    reachable = k < ranked.shape[1]
    k = k.clamp_max(ranked.shape[1] - 1)
    before = full.gather(1, k) - (rate * ranked).gather(1, k)
    pace = growing.gather(1, k) + rate.gather(1, k)
    level = ((wanted[:, None] - before) / pace.clamp_min(1e-30)).to(knots.dtype)
    # Before the first knot nothing bounds the level but the formula; rounding is cut off at the knot.
    level = torch.where(reachable, level.clamp_min(0.0).minimum(ranked.gather(1, k)), ranked[:, -1:])
    return (unit * level).minimum(room)


def _greedy(steepness: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Return lengths that gain ``wanted`` with the least sum: the steepest pixels first."""
    rate, order = steepness.sort(dim=1, descending=True, stable=True)
    most = (rate * room.gather(1, order)).double()
    missing = (wanted[:, None] - (most.cumsum(1) - most)).clamp_min(0.0)
    used = (missing / rate.clamp_min(1e-30)).to(room.dtype)
    return torch.zeros_like(room).scatter(1, order, used).minimum(room)
