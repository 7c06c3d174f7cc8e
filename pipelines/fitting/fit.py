"""Runs ``task: fit``: an estimator fitted to a system's outputs, written as weights with a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimator import BEHIND, THROUGH
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import content_key
from clearsight.data.executors.choice import Backend
from clearsight.data.home import replace_file
from clearsight.data.sides import refuse_test_images, refuse_training_images, side_of
from clearsight.data.weights import Weights, save
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.evaluation.behaviour_check import behaviour_warnings
from clearsight.pipelines.evaluation.dataset_check import Intake, smallest_side, take_in
from clearsight.pipelines.fitting.observing import Side, observe
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.versions import library_versions
from clearsight.pipelines.systems.device import choose_device, machine
from clearsight.pipelines.systems.graph import network_key
from clearsight.pipelines.systems.labels import check_system
from clearsight.pipelines.training.card import beginning, ending

if TYPE_CHECKING:
    from clearsight.data.contract.sample import Skipped
    from clearsight.data.sources.base import Source
    from clearsight.pipelines.systems.system import System

LEFT_OUT = "left_out.json"
"""File that names the images that were skipped and the files that were passed over."""


@dataclass(frozen=True)
class Fitted:
    """A finished fit.

    Attributes:
        weights: folder and card.
        folder: of the fit.
        values: tensor name -> value, of tensors with one element.
        images: that it was fitted to.
        figures: what the card says of the images that took no part.
        skipped: images that could not be used.
        passed_over: files beside the images that were not used.
        warnings: what must be known of how the system behaves.
    """

    weights: Weights
    folder: Path
    values: Mapping[str, float]
    images: int
    figures: Mapping[str, Any]
    skipped: tuple[Skipped, ...]
    passed_over: tuple[Skipped, ...]
    warnings: tuple[str, ...]


def fit(
    config: Fit,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    backend: Backend | None = None,
    on_progress: Progress | None = None,
) -> Fitted:
    """Fit and measure; what an equal, interrupted call computed is reused.

    Args:
        config: the system, the images and what is fitted.
        text: the YAML it was read from, kept verbatim.
        root: where folders are kept.
        workers: processes; 0 is one a core.
        device: ``auto``, ``cpu`` or ``cuda``.
        backend: where chunks are computed; processes of this machine where left out.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: the config, the images or the folder cannot be used, or nothing can be fitted.
    """
    config = config.pinned()
    config.ready()
    graph, device = config.graph(), choose_device(device)
    system = graph.build()
    for weights in [name for part in graph.classifiers for name in part.weights_inside()]:
        refuse_test_images(config.data, weights)
        refuse_training_images(config.data, weights)
    key = content_key([config.identity(), graph.fingerprint(), library_versions(), device])
    folder = root / f"fit_{config.name}_{key[:10]}"
    sides: dict[str, Side] = {}
    intakes: dict[str, Intake] = {}
    for name, judging in (("fit", False), ("judge", True)):
        source = side_of(config.data, config.judge, judging=judging)
        intakes[name] = intake = _taken_in(config, source, system, name, on_progress)
        sides[name] = Side(
            folder=folder,
            name=name,
            key=content_key([key, intake.fingerprint]),
            source=source,
            entries=intake.entries,
            digests=intake.digests,
            graph=graph,
            # One table for all images, as in a run.
            conditions=tuple(each.fitted(intakes["fit"].side) for each in config.expanded()),
            seed=config.seed,
            chunk=config.chunk,
            device=device,
        )
    folder.mkdir(parents=True, exist_ok=True)
    skipped = tuple(image for intake in intakes.values() for image in intake.skipped)
    passed_over = intakes["fit"].passed_over
    told = {"skipped": skipped, "passed_over": passed_over}
    write_json(folder / LEFT_OUT, {name: [asdict(each) for each in images] for name, images in told.items()})
    if text is not None:
        replace_file(folder / "config.yaml", text.encode())
    warnings = behaviour_warnings({"fitted": system}, sides["fit"].source, sides["fit"].entries)
    for side in sides.values():
        observe(side, workers=workers, on_progress=on_progress, backend=backend)
    rng = Rng(config.seed).at("fit")
    fitted = config.estimator.fit(sides["fit"].rows(), rng.at("fit"))
    figures = config.estimator.figures(sides["judge"].rows(), fitted, rng.at("figures"))
    card = _card(config, sides, intakes, figures, device)
    saved = save(
        Path(config.publish.folder or folder / "weights" / (config.publish.id or config.name)),
        fitted,
        card,
        half=False,
    )
    return Fitted(
        saved,
        folder,
        {name: value.item() for name, value in fitted.items() if value.numel() == 1},
        len(sides["fit"].entries),
        figures,
        skipped,
        passed_over,
        warnings,
    )


def _taken_in(config: Fit, source: Source, system: System, name: str, on_progress: Progress | None) -> Intake:
    fewest = config.estimator.fewest
    intake = take_in(
        source,
        minimum=smallest_side([system], config.expanded()),
        on_progress=lambda done, n: on_progress(f"read ({name})", done, n) if on_progress else None,
    )
    known = tuple(i for i, entry in enumerate(intake.entries) if entry.truth is not None)
    if len(known) < len(intake.entries):
        raise DataError(
            f"{len(intake.entries) - len(known)} of {len(intake.entries)} images have no label", where="data"
        )
    if len(known) < fewest:
        raise DataError(
            f"{len(known)} images are left to {name}, at least {fewest} are needed",
            where="data",
            hint="more images, or another share in 'judge'",
        )
    check_system("system", system, intake.entries, intake.classes, mapped=source.mapped)
    return intake


def _card(
    config: Fit,
    sides: Mapping[str, Side],
    intakes: Mapping[str, Intake],
    figures: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    graph, fit = config.graph(), intakes["fit"]
    about = beginning(config, config.estimator)
    skipped = {name: len(intake.skipped) for name, intake in intakes.items() if intake.skipped}
    about["data"] |= {"images": len(fit.entries), "fingerprint": fit.fingerprint, "skipped": skipped}
    measured = {
        BEHIND: sorted(map(network_key, graph.classifiers)),
        THROUGH: graph.content(),
        "system": graph.describe(),
        "minutes": round(sum(side.seconds() for side in sides.values()) / 60, 2),
        "machine": machine(device),
        "figures": {"judge": dict(figures), "note": "of images that took no part in the fit"},
    }
    return about | measured | ending(config)
