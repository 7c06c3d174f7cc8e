"""What a deployed system takes and gives, and the module that is exported: conversions and taps inside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import gcd, lcm
from typing import cast

import torch
from torch import Tensor, nn

from clearsight.data.contract.deployed import BESIDE, Input, Output
from clearsight.data.contract.errors import ClearsightError, ConfigError, near_miss
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, PartSpec
from clearsight.defend.classifier import Classifier
from clearsight.pipelines.export.beside import draws_sets, outputs_beside, value_beside
from clearsight.pipelines.systems.graph import IMAGE, Graph, Step
from clearsight.pipelines.systems.system import System
from clearsight.restore.restorer import Restorer

INPUT, LOGITS, RESTORED = "input", "logits", "image"
"""Names of the input and of the system's own output."""
PROBE = 32
"""Side of the image that restorers are probed with."""
SIDES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)
"""Sides that a user's network is tried with: nothing states the least that it takes."""


@dataclass(frozen=True)
class Form:
    """What goes into a file and what comes out.

    Attributes:
        input: of dynamic size unless height and width are set.
        outputs: the system's own first.
        nodes: the graph's node behind each output.
        classes: class names, empty where unknown or where nothing is classified.
    """

    input: Input
    outputs: tuple[Output, ...]
    nodes: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """The part of the input that a node's pixels depend on, in pixels of the system's input.

    Attributes:
        scale: size relative to the input's.
        halo: distance up to which pixels affect an output pixel; None: the whole image does.
        grid: corners of tiles lie on its multiples.
    """

    scale: int = 1
    halo: int | None = 0
    grid: int = 1


def refuse_unexportable(graph: Graph, system: str) -> None:
    """Raise `ConfigError` where a part of a system says that it cannot be exported, naming it and why."""
    for name, spec in graph.parts.items():
        if reason := _hindrance(spec):
            raise ConfigError(
                f"part '{name}' ({spec.name}) cannot be exported: {reason}",
                where=f"system '{system}'",
                hint="replace it by a part whose 'onnx' says yes (clearsight list)",
            )


def _hindrance(spec: PartSpec) -> str:
    if spec.onnx != "ok":
        return spec.onnx
    if spec.stochastic:
        return "it draws random numbers"
    if draws_sets(spec):
        return "it draws a random number for every set; fit it with 'randomised: false'"
    return ""


def form(system: System, taps: Sequence[str], *, uint8: bool, where: str) -> Form:
    """Return what a file of this system takes and gives.

    Args:
        system: built.
        taps: names of nodes whose images become outputs too.
        uint8: images go in and come out as uint8 NHWC instead of float32 NCHW.
        where: what messages call the system.

    Raises:
        ConfigError: a tap that is no node or gives no images; parts with no common number of channels.
    """
    graph = system.graph
    last = graph.steps[-1].name
    for tap in taps:
        _check_tap(graph, tap, where)
    nodes = (last, *(tap for tap in dict.fromkeys(taps) if tap != last))
    reaches = _reaches(system)
    beside = outputs_beside(system, where)
    taken = {output.name for output, _ in beside} & set(taps)
    outputs = tuple(_output(graph, node, reaches[node], taken) for node in nodes)
    return Form(
        Input(
            INPUT,
            "NHWC" if uint8 else "NCHW",
            "uint8" if uint8 else "float32",
            _channels(system, where),
            minimum=_minimum(system, reaches),
        ),
        (*outputs, *(output for output, _ in beside)),
        (*nodes, *(node for _, node in beside)),
        system.class_names if graph.gives is Flow.LOGITS else (),
    )


def _check_tap(graph: Graph, tap: str, where: str) -> None:
    flows = {step.name: step.gives for step in graph.steps}
    if tap not in flows:
        known = [name for name, flow in flows.items() if flow is Flow.IMAGES]
        raise ConfigError(f"no node '{tap}' to tap", where=where, hint=near_miss(tap, known))
    if flows[tap] is not Flow.IMAGES:
        raise ConfigError(
            f"node '{tap}' gives {flows[tap]}; only images are tapped", where=where, hint="leave it out"
        )


def _output(graph: Graph, node: str, reach: Reach, taken: Collection[str]) -> Output:
    steps = {step.name: step for step in graph.steps}
    own = node == graph.steps[-1].name
    if steps[node].gives is Flow.LOGITS:
        return Output(LOGITS, "logits")
    name = RESTORED if own else node
    if not own and (node in (INPUT, LOGITS, RESTORED) or node in taken):
        name = f"tap_{node}"
    if reach.halo is None:
        return Output(name, "image", reach.scale)
    # A tile's window starts on the grid too.
    halo = -(-reach.halo // reach.grid) * reach.grid
    return Output(name, "image", reach.scale, halo, reach.grid)


def _reaches(system: System) -> dict[str, Reach]:
    reaches = {IMAGE: Reach()}
    for step in system.graph.steps:
        before = [reaches[name] for name in step.inputs]
        reaches[step.name] = _reach(system, step, before)
    return reaches


def _reach(system: System, step: Step, before: Sequence[Reach]) -> Reach:
    halos = [one.halo for one in before if one.halo is not None]
    halo = max(halos) if len(halos) == len(before) else None
    grid = lcm(*(one.grid for one in before))
    scale = before[0].scale
    part = system.part(step.part_name)
    if not isinstance(part, Restorer):
        return Reach(scale, halo, grid)
    facts = part.facts
    # The grid of a part behind an enlargement is in enlarged pixels.
    grid = lcm(grid, facts.multiple_of // gcd(facts.multiple_of, scale))
    if halo is not None:
        own = _own_halo(part)
        halo = None if own is None else halo + -(-own // scale)
    return Reach(scale * facts.scale, halo, grid)


def _own_halo(part: Restorer) -> int | None:
    """Return how far around a pixel a restorer looks; None where it depends on the whole image."""
    facts, spec = part.facts, part.spec
    if facts.receptive_field is None:
        return None
    generator = Rng(0).at("probe").torch()
    side = max(PROBE, -(-facts.minimum // facts.multiple_of) * facts.multiple_of)
    side = -(-side // facts.multiple_of) * facts.multiple_of
    image = torch.rand(1, facts.channels[-1], side, side, generator=generator)
    if spec.prepared(image) is not spec:
        return None
    return -(-(facts.receptive_field // 2) // facts.multiple_of) * facts.multiple_of


def _channels(system: System, where: str) -> int:
    allowed = {1, 3}
    for name in system.graph.parts:
        part = system.part(name)
        if isinstance(part, Restorer):
            allowed &= set(part.facts.channels)
    if not allowed:
        raise ConfigError("no number of channels suits all its parts", where=where)
    return max(allowed)


def _minimum(system: System, reaches: dict[str, Reach]) -> int:
    needs = [1]
    for step in system.graph.steps:
        part = system.part(step.part_name)
        if isinstance(part, Classifier):
            least = _least_taken(part) if part.spec.foreign else part.minimum
            needs.append(-(-least // reaches[step.inputs[0]].scale))
    return max(needs)


def _least_taken(part: Classifier) -> int:
    """Return the least size that a user's network takes, by trying; 1 where it takes none of `SIDES`."""
    for side in SIDES:
        if side < part.minimum:
            continue
        with suppress(ClearsightError), torch.no_grad():
            part(torch.full((1, 3, side, side + 1), 0.5))
            return side
    return part.minimum


class Deployable(nn.Module):
    """A system as it is exported: takes images as its form says, gives all outputs of the form."""

    def __init__(self, system: System, made: Form, inside: list[str] | None = None) -> None:
        """Keep the system and its form.

        Args:
            system: built.
            made: what goes in and comes out.
            inside: holds the name of the part while it computes; empty otherwise.
        """
        super().__init__()
        self.system, self.form = system, made
        self._inside = inside
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of the form."""
        raw = self.form.input.dtype == "uint8"
        images = x.permute(0, 3, 1, 2).to(torch.float32) / 255.0 if raw else x
        values = self.system.trace(images, None if self._inside is None else self._around)
        wanted = outputs_of(self.system, self.form, values)
        return tuple(
            stored(value) if raw and made.gives == "image" else value
            for value, made in zip(wanted, self.form.outputs, strict=True)
        )

    def _around(self, step: Step, compute: Callable[[], Tensor]) -> Tensor:
        inside = cast("list[str]", self._inside)
        inside.append(step.part_name)
        found = compute()
        inside.pop()
        return found


def outputs_of(system: System, made: Form, values: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the outputs in the order of the form, images as float32 (n, c, h, w).

    Args:
        system: built.
        made: what a file of it gives.
        values: what `System.trace` returned.
    """
    return [
        value_beside(system, values, output, node) if output.gives in BESIDE else values[node]
        for output, node in zip(made.outputs, made.nodes, strict=True)
    ]


def stored(images: Tensor) -> Tensor:
    """Return images (n, c, h, w) in [0, 1] as uint8 (n, h, w, c), rounded to the nearest level."""
    return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
