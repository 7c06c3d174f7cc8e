"""Exports a system to one verified ONNX file: traced, converted, compared, and only then put in place."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.sources.base import Source
from clearsight.pipelines.export.lower import lowered, translations
from clearsight.pipelines.export.manifest import Variant, described, entry, labelled, read_manifest, write
from clearsight.pipelines.export.quantise import convert
from clearsight.pipelines.export.sample_images import SampleImages, gather
from clearsight.pipelines.export.verify import Agreement, Runner, check, check_finite, compare
from clearsight.pipelines.export.wrap import Deployable, Form, form, refuse_unexportable
from clearsight.pipelines.systems.graph import Graph
from clearsight.pipelines.systems.labels import check_system
from clearsight.pipelines.systems.system import System

OPSET = 20
"""What torch 2.13 writes without converting."""
OPSETS = (18, 25)
"""First and last that are offered: dynamic padding and resizing need 18, onnxruntime 1.31 reads up to 26."""
EXAMPLE = (2, 40, 44)
"""Batch, height and width of the traced example: all different and none 1, or they would become constants."""
CALIBRATION, MEASURED = 96, 300
"""Most images of the config's source that int8 is calibrated on, and that fp16 and int8 are measured on."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: of the ONNX file.
        manifest: its entry in ``manifest.json``.
    """

    path: Path
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """How a system is exported.

    Attributes:
        variant: precision that it computes in.
        taps: nodes whose images become outputs too.
        uint8: images go in and come out as uint8 NHWC.
        opset: of the ONNX operators.
        measured: images that fp16 and int8 are measured on, at most.
        calibration: images that int8 is calibrated on, at most.
    """

    variant: Variant = "fp32"
    taps: tuple[str, ...] = ()
    uint8: bool = False
    opset: int = OPSET
    measured: int = MEASURED
    calibration: int = CALIBRATION


def export(
    graph: Graph,
    folder: Path,
    *,
    name: str = "system",
    source: Source | None = None,
    options: Options | None = None,
    say: Say | None = None,
) -> Exported:
    """Write a system as one self-contained, verified ONNX file with its manifest.

    The file is compared with the torch system before anything is written: on sizes even and odd, batches of 1
    and 3, clean, corrupted and adversarial images.

    Args:
        graph: the system.
        folder: where ``<name>.onnx`` (``<name>-fp16.onnx``, ``<name>-int8.onnx``) and ``manifest.json`` go.
        name: of the system.
        source: labelled images of the intended kind, to verify, calibrate and measure on. Left out, synthetic
            road signs are used, and int8 is refused.
        options: how; by default fp32 with free sizes.
        say: called with one line for each stage.

    Raises:
        ConfigError: a part cannot be exported, or the options do not fit the system; nothing was written.
        RunError: the file differs from the system, or a variant breaks down; nothing was written.
    """
    how, tell, where = options or Options(), say or _quiet, f"system '{name}'"
    _check(graph, how, source, name)
    read_manifest(folder)
    system = graph.build()
    made = form(system, how.taps, uint8=how.uint8, where=where)
    wanted = how.variant != "fp32"
    images = gather(
        source,
        calibration=how.calibration if how.variant == "int8" else 0,
        measured=how.measured if wanted else 0,
    )
    if how.variant == "int8" and not images.own:
        raise ConfigError(
            f"int8 is calibrated on the config's images, which cannot be read: {images.origin}",
            where=where,
            hint="set CLEARSIGHT_DATA, or use --variant fp32 or fp16",
        )
    if source is not None and wanted and images.labelled:
        index = source.index()
        check_system(name, system, index.entries, index.classes, mapped=source.mapped)
    model, made, agreement = _faithful(system, made, images, how.opset, where, tell)
    findings: dict[str, Any] = {"verification": agreement.to_json()}
    if wanted:
        tell(f"converting to {how.variant}")
        changed = convert(model, how.variant, made, images, where)
        runner = Runner(changed.model, made.input)
        after = compare(runner, system, made, images)
        check_finite(after, where, how.variant)
        findings = {
            "verification": {"fp32": agreement.to_json(), how.variant: after.to_json()},
            **changed.findings,
        }
        model = changed.model
    deployed = described(graph, name, made, how.variant)
    model = labelled(model, deployed)
    file = f"{name}.onnx" if how.variant == "fp32" else f"{name}-{how.variant}.onnx"
    told = entry(model, file, deployed, findings)
    return Exported(write(folder, file, model, told), told)


def _quiet(line: str) -> None:
    return


def _check(graph: Graph, how: Options, source: Source | None, name: str) -> None:
    refuse_unexportable(graph, name)
    if not OPSETS[0] <= how.opset <= OPSETS[1]:
        raise ConfigError(f"opset {how.opset} is not offered", hint=f"use {OPSETS[0]} to {OPSETS[1]}")
    if how.variant == "int8" and source is None:
        raise ConfigError(
            "int8 is calibrated on images, and none were given",
            where=f"system '{name}'",
            hint="export a config with data",
        )


def _faithful(
    system: System, made: Form, images: SampleImages, opset: int, where: str, tell: Say
) -> tuple[bytes, Form, Agreement]:
    """Return a file that agrees with the system, of dynamic size if possible, else of the images' size.

    Raises:
        RunError: neither works.
    """
    tell("tracing with free sizes")
    try:
        return _attempt(system, made, images, opset, where, tell)
    except (ConfigError, RunError) as error:
        if images.size is None or not images.own:
            raise
        reason = error
    height, width = images.size
    tell(f"free sizes do not work ({reason.what}); tracing at {height}x{width}")
    fixed = replace(made, input=replace(made.input, height=height, width=width, minimum=1))
    return _attempt(system, fixed, images, opset, where, tell)


def _attempt(
    system: System, made: Form, images: SampleImages, opset: int, where: str, tell: Say
) -> tuple[bytes, Form, Agreement]:
    model = traced(system, made, opset, where)
    tell("comparing with the torch system")
    agreement = compare(Runner(model, made.input), system, made, images)
    check(agreement, where)
    return model, made, agreement


def traced(system: System, made: Form, opset: int, where: str, *, lower: bool = True) -> bytes:
    """Return a system as an ONNX file, its weights inside.

    Args:
        system: built.
        made: what the file takes and gives.
        opset: of the ONNX operators.
        where: what messages call the system.
        lower: whether to rewrite operators for onnxruntime; otherwise the file is as torch exports it.

    Raises:
        RunError: torch cannot trace or translate it.
    """
    inside: list[str] = []
    module = Deployable(system, made, inside)
    taken = made.input
    free = torch.export.Dim.DYNAMIC
    count, height, width = EXAMPLE
    # The example must not be smaller than the least size that a part takes.
    height, width = (max(side, taken.minimum + i) for i, side in enumerate((height, width)))
    raised = (taken.batch or count, taken.height or height, taken.width or width)
    example = _example(taken.channels, raised, uint8=taken.dtype == "uint8")
    rows, columns = (1, 2) if taken.layout == "NHWC" else (2, 3)
    dynamic = {0: taken.batch, rows: taken.height, columns: taken.width}
    shapes = {axis: free for axis, size in dynamic.items() if size is None}
    try:
        with _silence(), torch.no_grad():
            captured = torch.export.export(module, (example,), dynamic_shapes=(shapes,), strict=False)
            program = torch.onnx.export(
                captured,
                dynamo=True,
                external_data=False,
                verbose=False,
                opset_version=opset,
                input_names=[taken.name],
                output_names=[output.name for output in made.outputs],
                custom_translation_table=translations() if lower else None,
            )
    except Exception as error:  # noqa: BLE001 (torch raises of every kind here)
        # A trace that breaks off leaves the name of the part that it was in.
        place = f"{where}, part '{inside[-1]}'" if inside else where
        raise RunError(f"torch cannot export it: {_reason(error)}", where=place) from None
    if program is None:
        raise RunError("torch exported nothing", where=where)
    proto = program.model_proto
    return bytes((lowered(proto) if lower else proto).SerializeToString())


def _example(channels: int, sizes: Sequence[int], *, uint8: bool) -> Tensor:
    count, height, width = sizes
    values = torch.rand(count, channels, height, width, generator=Rng(0).at("example").torch())
    return (values * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous() if uint8 else values


def _reason(error: Exception) -> str:
    """Return the innermost reason in one line: torch wraps it in pages of advice."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[0][:300] if lines else ''}"


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the exporter's messages about its internals."""
    logger = logging.getLogger("torch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    inner = logging.getLogger("torch.onnx")
    inner_before, inner_off = inner.level, inner.disabled
    inner.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
        inner.setLevel(inner_before)
        inner.disabled = inner_off
