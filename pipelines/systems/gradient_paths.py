"""Which way the gradient goes through each part of a system: the part's own, its surrogate, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.part import Part
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.pipelines.systems.system import StandIn, System

DEAD = 0.9
"""Share of exact zeros from which a gradient counts as dead. A median filter, which is honest, has 0.3."""
SATURATED = 0.25
"""Share of pixels driven to 0 or 1 above which those among them without a gradient are passed straight
through: a clamped value may still be brought back into range, which the clamp's zero gradient hides."""
PROBES = 4
"""Images that are used."""
How = Literal["exact", "surrogate", "identity", "leaky"]


@dataclass(frozen=True)
class Path:
    """How the backward pass goes through the parts of a system.

    Attributes:
        how: part name -> way.
        broken: names of parts that claim an exact gradient and have none.
        stand_ins: what `System.trace` needs.
    """

    how: Mapping[str, How]
    broken: tuple[str, ...]
    stand_ins: Mapping[str, StandIn]


def find_path(system: System, images: Tensor) -> Path:
    """Look at the gradient of every part on real images and choose the way of an adaptive attacker.

    A part that declares a surrogate is passed by it. A part that declares an exact gradient, but has none
    that is finite and mostly not zero (a hidden rounding, a detach), is passed by the surrogate it may have,
    else by the identity, resized where the part changes the size; it is listed as broken. A part that
    saturates (`SATURATED`) keeps its gradient, and pixels that it drove to 0 or 1 are passed straight
    through.

    Args:
        system: the system that is attacked; equal images give the same path.
        images: (n, c, h, w) in [0, 1]; the first `PROBES` are used.

    Raises:
        AttackError: a classifier, or a part with several inputs, claims a gradient and has none.
    """
    with torch.no_grad():
        values = system.trace(images[:PROBES], streams=_probe_streams(images))
    how: dict[str, How] = {}
    stand_ins: dict[str, StandIn] = {}
    broken = []
    for step in system.graph.steps:
        name, part = step.part_name, system.part(step.part_name)
        if name in how:
            continue
        inputs = [values[source] for source in step.inputs]
        if step.spec.gradient is Gradient.SURROGATE:
            how[name], stand_ins[name] = "surrogate", part.surrogate
        elif _zeros(part, inputs, _probe_streams(images)) <= DEAD:
            how[name] = "exact"
            if len(inputs) == 1 and _saturates(inputs[0], values[step.name]):
                how[name], stand_ins[name] = "leaky", _leaky(part)
        elif step.gives is Flow.LOGITS or len(step.inputs) > 1:
            raise AttackError(
                f"part '{name}' ({step.spec.name}) claims an exact gradient, but none comes through",
                where="target",
                hint="let the part keep its gradient, or use an attack on scores (square)",
            )
        else:
            broken.append(name)
            declared = type(part).surrogate is not Part.surrogate and _has_surrogate(
                part, values[step.inputs[0]]
            )
            how[name] = "surrogate" if declared else "identity"
            stand_ins[name] = part.surrogate if declared else _identity_like(values[step.name])
    return Path(how, tuple(broken), stand_ins)


def _probe_streams(images: Tensor) -> list[Rng]:
    return [Rng(0).at("probe", i) for i in range(min(PROBES, len(images)))]


def _zeros(part: Part[Any], inputs: list[Tensor], streams: list[Rng]) -> float:
    """Return the share of exact zeros in the gradient; 1 where it has none, or values that are not finite."""
    leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
    with torch.enable_grad():
        if part.spec.stochastic:
            part.streams = streams
        out = part(*leaves)
        part.streams = None
        if not out.requires_grad:
            return 1.0
        weights = torch.randn(out.shape, generator=Rng(0).at("probe").torch()).to(out)
        gradients = torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
    for gradient in gradients:
        if gradient is None or not gradient.isfinite().all():
            return 1.0
    zeros = torch.cat([g.flatten() for g in gradients if g is not None]) == 0
    return zeros.float().mean().item()


def _has_surrogate(part: Part[Any], x: Tensor) -> bool:
    try:
        with torch.no_grad():
            part.surrogate(x)
    except NotImplementedError:
        return False
    return True


def _saturates(x: Tensor, out: Tensor) -> bool:
    """Return True where a part drives many pixels to 0 or 1 that were neither."""
    return x.shape == out.shape and bool((_held(out) & ~_held(x)).float().mean() > SATURATED)


def _held(out: Tensor) -> Tensor:
    return (out == 0) | (out == 1)


class _Leak(torch.autograd.Function):
    """A part whose zero gradients at pixels that came out as 0 or 1 are replaced by what came from above."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, part: Part[Any]) -> Tensor:
        """Run the part on a leaf of its own, so that its gradient can be asked for alone."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            out: Tensor = part(leaf)
        ctx.leaf, ctx.out = leaf, out  # type: ignore[attr-defined]
        return out.detach()

    @staticmethod
    def backward(ctx: FunctionCtx, *above: Tensor) -> tuple[Tensor, None]:
        """Return the part's gradient, and where it is zero at a held pixel the one from above."""
        # Several losses ask one after the other.
        (own,) = torch.autograd.grad(ctx.out, ctx.leaf, above[0], retain_graph=True)  # type: ignore[attr-defined]
        held = _held(ctx.out.detach())  # type: ignore[attr-defined]
        return torch.where((own == 0) & held, above[0], own), None


def _leaky(part: Part[Any]) -> StandIn:
    def stand_in(x: Tensor) -> Tensor:
        out: Tensor = _Leak.apply(x, part)  # type: ignore[no-untyped-call]
        return out

    return stand_in


def _identity_like(out: Tensor) -> StandIn:
    size = out.shape[2:]

    def stand_in(x: Tensor) -> Tensor:
        if x.shape[2:] == size:
            return x
        return functional.interpolate(x, size=tuple(size), mode="bilinear", antialias=True)

    return stand_in
