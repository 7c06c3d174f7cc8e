"""``clearsight export``: systems of a config as verified ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.cli.console import console

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate
    from clearsight.pipelines.export.export import Options
    from clearsight.pipelines.export.manifest import Variant
    from clearsight.pipelines.systems.graph import Graph

VARIANTS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        systems: names; all where empty.
        variant: fp32, fp16 or int8.
        taps: nodes, separated by commas.
        uint8: whether images go in and come out as uint8 NHWC.
        opset: of the ONNX operators; None: the default.
        measured: most images that fp16 and int8 are measured on; None: the default.
        unrestored: whether the classifier alone is written too, beside each system that restores.
    """

    systems: Sequence[str] = ()
    variant: str = "fp32"
    taps: str = ""
    uint8: bool = False
    opset: int | None = None
    measured: int | None = None
    unrestored: bool = False


def command(path: Path, out: Path, wanted: Wanted, *, quiet: bool) -> None:
    """Export systems of a config and print how each file compares with its system."""
    if wanted.variant not in VARIANTS:
        raise ConfigError(f"unknown variant '{wanted.variant}'", hint=near_miss(wanted.variant, VARIANTS))
    _, config = read_evaluate(path)
    graphs = _chosen(config, wanted.systems)
    alone = _alone(graphs) if wanted.unrestored else {}
    # All systems are checked before the first is written.
    for name, graph in graphs.items():
        _ready(name, graph)
    from clearsight.pipelines.export.export import export
    from clearsight.pipelines.export.wrap import refuse_unexportable

    for name, graph in graphs.items():
        refuse_unexportable(graph, name)
    writable_folder(out)
    screen = console()
    options = _options(wanted)
    for name, graph in (graphs | alone).items():
        how = replace(options, taps=()) if name in alone else options

        def say(line: str, name: str = name) -> None:
            if not quiet:
                screen.print(f"{name}: {line}", markup=False)

        done = export(graph, out, name=name, source=config.data, options=how, say=say)
        for line in told(done.manifest, wanted.variant):
            screen.print(f"{name}: {line}", markup=False)
        screen.print(f"{done.path}", markup=False, soft_wrap=True)


def _chosen(config: Evaluate, names: Sequence[str]) -> dict[str, Graph]:
    graphs = config.graphs()
    for name in names:
        if name not in graphs:
            raise ConfigError(f"no system '{name}'", where="--system", hint=near_miss(name, graphs))
    return {name: graphs[name] for name in names or graphs}


def _alone(graphs: Mapping[str, Graph]) -> dict[str, Graph]:
    """Return the classifiers behind the restorers, those left out that are exported anyway.

    Raises:
        ConfigError: no system restores anything, or the name of one is taken.
    """
    found = {name: bare for name, graph in graphs.items() if (bare := graph.unrestored) is not None}
    if not found:
        raise ConfigError(
            "no system restores images before it classifies them",
            where="--unrestored",
            hint="choose others with --system",
        )
    written = {graph.fingerprint() for graph in graphs.values()}
    alone: dict[str, Graph] = {}
    for name, graph in found.items():
        if (key := graph.fingerprint()) not in written:
            written.add(key)
            alone[f"{name}-unrestored"] = graph
    for name in alone.keys() & graphs.keys():
        raise ConfigError(
            f"system '{name}' has the name of a file that would be written", where="--unrestored"
        )
    return alone


def _ready(name: str, graph: Graph) -> None:
    for part, spec in graph.parts.items():
        try:
            spec.ready()
        except ConfigError as error:
            raise ConfigError(error.what, where=f"system '{name}', part '{part}'", hint=error.hint) from None


def _options(wanted: Wanted) -> Options:
    from clearsight.pipelines.export.export import MEASURED, OPSET, Options

    return Options(
        variant=cast("Variant", wanted.variant),
        taps=tuple(tap.strip() for tap in wanted.taps.split(",") if tap.strip()),
        uint8=wanted.uint8,
        opset=wanted.opset or OPSET,
        measured=wanted.measured or MEASURED,
    )


def told(manifest: Mapping[str, Any], variant: str) -> list[str]:
    """Return the findings about a file, as lines."""
    found = manifest["verification"]
    taken = manifest["deployed"]["input"]
    sizes = "any size" if taken["height"] is None else f"{taken['height']}x{taken['width']} pixels"
    of = found if variant == "fp32" else found["fp32"]
    lines = [f"takes {sizes}, {taken['dtype']} {taken['layout']}; {_agreement(of)}"]
    for condition, row in manifest.get("cost", {}).get("conditions", {}).items():
        pieces = [
            f"{key.replace('_', ' ')} {_figure(value)}"
            for key, value in row.items()
            if isinstance(value, dict)
        ]
        lines.append(f"{variant} on {condition} images: {', '.join(pieces)}")
    return lines


def _agreement(verification: Mapping[str, Any]) -> str:
    kinds = verification["kinds"].values()
    count = sum(kind["images"] for kind in kinds)
    pieces = []
    logits = [kind["relative_to_largest_logit"] for kind in kinds if "relative_to_largest_logit" in kind]
    if logits:
        equal = sum(kind["equal_predictions"] for kind in kinds)
        pieces.append(f"logits {max(logits):.1e} off at most, {equal} of {count} predictions equal")
    pixels = [v for kind in kinds for v in kind.get("largest_pixel_difference", {}).values()]
    if pixels:
        pieces.append(f"pixels {max(pixels):.1e} off at most")
    return f"verified on {count} images of {len(verification['sizes'])} sizes: {', '.join(pieces)}"


def _figure(value: Mapping[str, Any]) -> str:
    if "share" in value:
        return f"{100 * value['share']:.1f} % of {value['of']}"
    low, high = value["interval"]
    return f"{value['after']:.4g} ({value['difference']:+.3g}, {low:+.3g} to {high:+.3g})"
