"""Runs ``task: sift``: which images a filter would remove, and whether rightly, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.spec import content_key
from clearsight.data.contract.text import cell, csv_text
from clearsight.data.home import replace_file
from clearsight.data.sources.poisoned import Poisoned
from clearsight.data.sources.sifted import HEAD, YES
from clearsight.data.statistics import wilson
from clearsight.pipelines.config.sift import Sift
from clearsight.pipelines.evaluation.dataset_check import smallest_side, take_in
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.versions import library_versions
from clearsight.pipelines.sifting.features import Watched, features_of
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.labels import check_system

if TYPE_CHECKING:
    from clearsight.data.contract.sample import Skipped

IMAGES, FIGURES = "images.csv", "sift.json"
"""Files that a sift writes: every image with its score, and the figures."""


@dataclass(frozen=True)
class Sifting:
    """A finished sift.

    Attributes:
        folder: of the sift; `IMAGES` in it is what the source ``sifted`` reads.
        images: that were judged.
        removed: of them.
        figures: what `FIGURES` holds.
        skipped: images that could not be used.
    """

    folder: Path
    images: int
    removed: int
    figures: Mapping[str, Any]
    skipped: tuple[Skipped, ...]


def sift(
    config: Sift,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Sifting:
    """Judge all images; features that an equal, interrupted call computed are reused.

    Args:
        config: the images, the classifier and the filter.
        text: the YAML it was read from, kept verbatim.
        root: where folders are kept.
        workers: processes; 0 is one a core.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: the config, the images or the folder cannot be used.
    """
    config = config.pinned()
    config.ready()
    graph, device = config.graph(), choose_device(device)
    system = graph.build()
    intake = take_in(
        config.data,
        minimum=smallest_side([system], ()),
        on_progress=lambda done, n: on_progress("read", done, n) if on_progress else None,
    )
    if not intake.labelled:
        raise DataError("a backdoor is sought class by class: every image needs a label", where="data")
    check_system("system", system, intake.entries, intake.classes, mapped=config.data.mapped)
    fields = {name: value for name, value in config.identity().items() if name != "filter"}
    key = content_key([fields, intake.fingerprint, graph.fingerprint(), library_versions(), device])
    folder = root / f"sift_{config.name}_{content_key([key, config.filter.identity()])[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        replace_file(folder / "config.yaml", text.encode())
    watched = Watched(
        # Not in the filter's folder: another filter looks at the same features.
        folder=root / f"features_{config.name}_{key[:10]}",
        key=key,
        source=config.data,
        entries=intake.entries,
        digests=intake.digests,
        graph=graph,
        chunk=config.chunk,
        device=device,
    )
    features = features_of(watched, workers=workers, on_progress=on_progress)
    labels = np.array([entry.truth for entry in intake.entries], np.int64)
    found = config.filter.sift(features, labels)
    rows = [
        (cell(entry.id), int(label), repr(float(score)), YES if out else "no")
        for entry, label, score, out in zip(intake.entries, labels, found.scores, found.removed, strict=True)
    ]
    replace_file(folder / IMAGES, csv_text([HEAD, *rows]).encode())
    count = int(found.removed.sum())
    figures: dict[str, Any] = {"images": len(rows), "removed": count}
    if isinstance(config.data, Poisoned):
        bad = config.data.bad()
        truly = np.array([entry.id in bad for entry in intake.entries])
        figures["poisoned"] = int(truly.sum())
        figures["found"] = _share(found.removed[truly])
        figures["falsely_removed"] = _share(found.removed[~truly])
    write_json(folder / FIGURES, figures | {"skipped": [vars(each) for each in intake.skipped]})
    return Sifting(folder, len(rows), count, figures, intake.skipped)


def _share(hits: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, float | int]:
    """Return how many of some images, with Wilson's interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return {"n": int(hits.sum()), "of": len(hits), "share": float(hits.mean()), "low": low, "high": high}
