"""Is the gradient that a part claims its true one? Autograd against finite differences, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clearsight.data.contract.part import Part
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.pipelines.checks.attack_record import points
from clearsight.pipelines.checks.single import SPARSE
from clearsight.pipelines.runs.summary import Check, CheckVerdict
from clearsight.pipelines.systems.gradient_paths import Path
from clearsight.pipelines.systems.system import System

STEP = 0.02
"""Euclidean length of the step: float32 resolves what it changes, and no kink of an honest part matters."""
IMAGES = 4
WITHIN = (0.5, 1.5)
"""Measured by predicted slope: kinks and float32 explain a third, a falsified gradient is off by far."""


def part_gradients(system: System, images: Tensor, streams: Sequence[Rng], path: Path) -> list[Check]:
    """Return one check a part that claims an exact gradient, and one for each that has a stand-in."""
    few, own = 0.02 + 0.96 * images[:IMAGES], list(streams[:IMAGES])
    with torch.no_grad():
        values = system.trace(few, streams=own if system.stochastic else None)
    out: list[Check] = []
    seen: set[str] = set()
    for step in system.graph.steps:
        name, part = step.part_name, system.part(step.part_name)
        if name in seen:
            continue
        seen.add(name)
        if name in path.broken:
            words = (
                f"Part '{name}' claims an exact gradient and has none (it detaches, rounds or saturates): "
                f"attacks pass it by the {path.how[name]}; declare a surrogate."
            )
            out.append(Check("part_gradients", "unreliable", 1.0, words))
        elif step.spec.gradient is Gradient.EXACT and len(step.inputs) == 1:
            drawn = [stream.at(step.name) for stream in own]
            out.append(_exact(name, part, values[step.inputs[0]], drawn))
        elif step.spec.gradient is Gradient.SURROGATE:
            words = f"Part '{name}' has no gradient of its own and says so; attacks pass it by its surrogate."
            out.append(Check("part_gradients", "fine", None, words))
    return out


def _exact(name: str, part: Part[Any], x: Tensor, streams: Sequence[Rng]) -> Check:
    weights: Tensor | None = None
    draw = Rng(0).at("audit", "weights").torch()

    def value(at: Tensor) -> Tensor:
        nonlocal weights
        if part.spec.stochastic:
            part.streams = list(streams)
        out: Tensor = part(at)
        part.streams = None
        if weights is None:
            weights = torch.randn(out.shape, generator=draw).to(out)
        total: Tensor = (out * weights).double().flatten(1).sum(1)
        return total

    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(value(leaf).sum(), leaf)
    length = gradient.flatten(1).norm(dim=1)
    direction = gradient / length.clamp_min(1e-12).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        rise = (value(x + STEP * direction) - value(x - STEP * direction)) / (2.0 * STEP)
    ratio = float((rise / length.double().clamp_min(1e-12)).median())
    zeros = float((gradient == 0).float().mean())
    if not WITHIN[0] <= ratio <= WITHIN[1]:
        words = (
            f"The gradient of part '{name}' is not its slope (measured / claimed = {ratio:.2f}): it is "
            "falsified; declare gradient: surrogate, and give the stand-in."
        )
        return Check("part_gradients", "suspect", ratio, words)
    verdict: CheckVerdict = "fine" if zeros <= SPARSE else "suspect"
    words = f"The gradient of part '{name}' agrees with finite differences (ratio {ratio:.2f})"
    if verdict == "fine":
        return Check("part_gradients", verdict, ratio, f"{words}.")
    words += f", but {points(zeros)} of it is zero: the part saturates; add a surrogate and compare."
    return Check("part_gradients", verdict, zeros, words)
