"""Is the gradient that a part claims its slope? Autograd against finite differences, on a few images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearsight.data.contract.part import Part
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.pipelines.systems.gradient_paths import PROBES, Path
from clearsight.pipelines.systems.system import System

STEP = 0.1 / 255
"""Root mean square step per pixel: float32 resolves its effect, and honest parts have no kink so near."""
DITHER = 2.0 / 255
"""Greatest noise, added first: flat regions, in which a median or a maximum has many answers, are no test."""
WITHIN = (0.5, 1.5)
"""Range of measured / claimed slope along the gradient: kinks and float32 explain a third."""
APART = 0.5
"""Share of the measured slope across the gradient that may be missing from the claimed one."""
FAINT = {"cpu": 1e-5, "cuda": 2e-3}
"""Change of the output, relative to it, that rounding explains; TF32 on GPUs has 10 mantissa bits."""


@dataclass(frozen=True)
class GradientAgreement:
    """What finite differences say of a part's gradient.

    Attributes:
        ratio: measured / claimed slope along the gradient, the median over images.
        apart: what is missing from the claimed slope in random directions, as a share of the measured one.
            The gradient of a smaller network that is added to a hidden one shows here: along itself it looks
            right where both networks are sensitive to the same changes.
        zeros: share of exact zeros in the gradient.
    """

    ratio: float
    apart: float
    zeros: float

    @property
    def true(self) -> bool:
        """Return whether the gradient is the slope."""
        return WITHIN[0] <= self.ratio <= WITHIN[1] and self.apart <= APART


def slopes(
    system: System, images: Tensor, streams: Sequence[Rng], path: Path
) -> Mapping[str, GradientAgreement]:
    """Return part -> agreement, of parts that claim an exact gradient, take one input and have a gradient.

    Args:
        system: in eval mode; equal images give equal slopes.
        images: (n, c, h, w) in [0, 1]; the first `PROBES` are used.
        streams: one per image.
        path: what `find_path` found.
    """
    few, own = images[:PROBES], list(streams[:PROBES])
    noise = torch.rand(few.shape, generator=Rng(0).at("slope", "dither").torch()).to(few) - 0.5
    # Away from 0 and 1, where a clamp has two slopes.
    few = 0.02 + 0.96 * (few + 2.0 * DITHER * noise).clamp(0, 1)
    with torch.no_grad():
        values = system.trace(few, streams=own if system.stochastic else None)
    agreements: dict[str, GradientAgreement] = {}
    for step in system.graph.steps:
        exact = step.spec.gradient is Gradient.EXACT and step.part_name not in path.broken
        if exact and len(step.inputs) == 1 and step.part_name not in agreements:
            drawn = [stream.at(step.name) for stream in own]
            agreements[step.part_name] = _slope(system.part(step.part_name), values[step.inputs[0]], drawn)
    return agreements


def _slope(part: Part[Any], x: Tensor, streams: Sequence[Rng]) -> GradientAgreement:
    weights: Tensor | None = None

    def value(at: Tensor) -> Tensor:
        nonlocal weights
        if part.spec.stochastic:
            part.streams = list(streams)
        out: Tensor = part(at)
        part.streams = None
        if weights is None:
            weights = torch.randn(out.shape, generator=Rng(0).at("slope", "weights").torch()).to(out)
        total: Tensor = (out * weights).double().flatten(1).sum(1)
        return total

    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        level = value(leaf)
        (gradient,) = torch.autograd.grad(level.sum(), leaf)
    gradient = gradient.flatten(1).double()
    length = gradient.norm(dim=1)
    reach = STEP * gradient.shape[1] ** 0.5

    def measured(direction: Tensor) -> Tensor:
        """Return the slope (n,) along directions (n, pixels) of length 1."""
        step = (reach * direction).to(x).reshape(x.shape)
        with torch.no_grad():
            slope: Tensor = (value(x + step) - value(x - step)) / (2.0 * reach)
        return slope

    ratio = (measured(gradient / length.clamp_min(1e-12)[:, None]) / length.clamp_min(1e-12)).median()
    aside = torch.randn(gradient.shape, generator=Rng(0).at("slope", "aside").torch()).to(gradient)
    aside = aside / aside.norm(dim=1, keepdim=True)
    told, seen = (gradient * aside).sum(1), measured(aside)
    floor = FAINT.get(x.device.type, FAINT["cuda"]) * level.detach().abs().mean() / reach
    size = (seen**2).mean().sqrt()
    apart = ((seen - told) ** 2).mean().sqrt() / size if size > floor else torch.zeros(())
    return GradientAgreement(float(ratio), float(apart), float((gradient == 0).float().mean()))
