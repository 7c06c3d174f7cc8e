"""`load`, `train` and `export`: a part as a torch module, a recipe trained, a system as an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, WeightsError, near_miss
from clearsight.data.contract.spec import PartSpec
from clearsight.data.hub_names import on_hub
from clearsight.data.sources.base import Source
from clearsight.data.weights import find, shipped
from clearsight.pipelines.config.registries import BUILDABLE
from clearsight.pipelines.systems.graph import Graph, chain

if TYPE_CHECKING:
    from clearsight.data.contract.part import Part
    from clearsight.pipelines.config.train import TrainConfig
    from clearsight.pipelines.export.export import Exported
    from clearsight.pipelines.export.manifest import Variant
    from clearsight.pipelines.training.loop import StepReport
    from clearsight.pipelines.training.publishing import Trained


def load(name: str, **fields: Any) -> Part[Any]:
    """Return a restorer, classifier or other part as a torch module in eval mode.

    A restorer maps images (n, c, h, w) in [0, 1] to restored images, a classifier maps them to logits
    (n, classes); normalisation is part of the module.

    Args:
        name: id or folder of weights (``denoise-color-v2``), their name on the hub
            (``hub:owner/name@revision``), or a kind (``median``).
        **fields: of the kind, as in YAML (``radius=2``).

    Raises:
        ConfigError: neither weights nor a kind has this name.
        WeightsError: weights that are damaged or do not fit the fields.
        pydantic.ValidationError: a field that the kind does not have, or a value that does not fit.
    """
    if name in BUILDABLE.kinds:
        return _build({"kind": name} | fields)
    try:
        card = find(name).card
    except WeightsError as error:
        if Path(name).is_dir() or on_hub(name):
            raise
        known = [*BUILDABLE.kinds, *(weights.folder.name for weights in shipped())]
        raise ConfigError(
            f"neither weights nor a kind is called '{name}'", hint=near_miss(name, known)
        ) from error
    kind = card["spec"]["kind"]
    # The card chooses the kind, and on the hub anybody writes cards.
    if on_hub(name) and kind in BUILDABLE.kinds and BUILDABLE[kind].executes:
        raise WeightsError(f"not loaded: a part of kind '{kind}' executes code", where=name)
    return _build({"kind": kind, "weights": name} | fields)


def _build(node: dict[str, Any]) -> Part[Any]:
    return BUILDABLE.parse(node).build()


def train(
    config: TrainConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    minutes: float | None = None,
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
    folder: str | PathLike[str] | None = None,
    on_progress: Callable[[StepReport], None] | None = None,
) -> Trained:
    """Train a network and write its weights with their card; an interrupted run continues.

    Args:
        config: a `TrainConfig`, the same as a mapping, the path of a YAML file, or the name of a shipped
            recipe (``signs-standard``).
        minutes: time budget in place of the config's.
        changes: place -> value, such as ``{"model.depth": 18}``; only where ``config`` is a path or a name.
        device: ``auto``, ``cpu`` or ``cuda``.
        folder: run folder; ``runs/train_<name>_<key>`` where left out.
        on_progress: called after every step.

    Returns:
        Weights, their scores on validation and test images with intervals, and the run folder.

    Raises:
        pydantic.ValidationError: a field or value that does not fit.
        ClearsightError: images, weights or a checkpoint that cannot be used; the message says what to do.
    """
    from clearsight.pipelines.config.train import TrainConfig
    from clearsight.pipelines.training.loop import train as run

    if isinstance(config, TrainConfig | Mapping):
        if changes:
            raise ConfigError("goes with a path or the name of a recipe", where="changes")
        chosen = TrainConfig.model_validate(config)
    else:
        from clearsight.pipelines.cli.configs import read_task

        lines = [f"{place}={value}" for place, value in (changes or {}).items()]
        _, chosen = read_task(Path(config), TrainConfig, lines)
    place = None if folder is None else Path(folder)
    return run(chosen, minutes=minutes, device=device, folder=place, on_progress=on_progress)


def export(
    system: Graph | PartSpec,
    folder: str | PathLike[str],
    *,
    name: str = "system",
    source: Source | None = None,
    variant: Variant = "fp32",
    taps: Sequence[str] = (),
    uint8: bool = False,
    on_message: Callable[[str], None] | None = None,
) -> Exported:
    """Write a system as one ONNX file that was compared with the torch system, and its manifest.

    `Session` runs the file without torch.

    Args:
        system: what `chain` returned, or a single part.
        folder: where ``<name>.onnx`` and ``manifest.json`` go.
        name: of the system.
        source: labelled images of the intended kind: the file is verified on them, int8 is calibrated on
            them. Left out, synthetic road signs are used, and int8 is refused.
        variant: ``fp32``, ``fp16`` or ``int8``.
        taps: nodes whose images become further outputs.
        uint8: the file takes and gives uint8 (n, h, w, c) in place of float32 (n, c, h, w).
        on_message: called with one line for each stage.

    Raises:
        ConfigError: a part that cannot be exported, or options that do not fit the system.
        RunError: the file differs from the system, or a variant breaks down. Neither error leaves a file.
    """
    from clearsight.pipelines.export.export import Options
    from clearsight.pipelines.export.export import export as write

    graph = system if isinstance(system, Graph) else chain(system)
    options = Options(variant=variant, taps=tuple(taps), uint8=uint8)
    return write(graph, Path(folder), name=name, source=source, options=options, say=on_message)
