"""Rounds of the search and the judgement, each an ordinary run: resumed, sealed and paired like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.sources.base import Source
from clearsight.pipelines.analysis.paired import per_image
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.tune import CLASSIFIER, Tune
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.columns import columns_of
from clearsight.pipelines.runs.sealed import complete
from clearsight.pipelines.runs.summary import RunSummary, parse_summary
from clearsight.pipelines.systems.threats import NONE
from clearsight.pipelines.tuning.candidates import ALONE, Candidate

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A finished run of candidates.

    Attributes:
        folder: of the run.
        summary: what it found.
        right: candidate -> entry of ``conditions`` -> share of right answers of each image (n,).
    """

    folder: RunFolder
    summary: RunSummary
    right: Mapping[str, Mapping[str, Numbers]]

    def of(self, name: str, config: Tune) -> Numbers:
        """Return the score of each image (n,): the weighted mean over the entries of ``conditions``."""
        total: Numbers = np.sum(
            [config.share(group) * right for group, right in self.right[name].items()], axis=0
        )
        return total


def measured(
    config: Tune,
    name: str,
    chosen: Sequence[Candidate],
    source: Source,
    *,
    root: Path,
    whole: bool,
    workers: int,
    device: str,
    on_progress: Progress | None,
) -> Measured:
    """Run candidates, or read what an equal run found before.

    Args:
        config: what is tuned.
        name: of the run.
        chosen: the candidates.
        source: the images.
        root: where its run folder is kept.
        whole: every image under all conditions, not under one of each entry.
        workers: processes.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called with (stage, done, all).
    """
    evaluate = config_of(config, name, chosen, source, whole=whole)
    folder = run(evaluate, root=root, workers=workers, device=device, on_progress=on_progress)
    return _read(folder, evaluate)


def config_of(
    config: Tune, name: str, chosen: Sequence[Candidate], source: Source, *, whole: bool, title: str = ""
) -> Evaluate:
    """Return the config of a run of candidates."""
    used = {part for candidate in chosen for part in candidate.parts}
    told: dict[str, Any] = {
        "task": "evaluate",
        "name": name,
        "title": title,
        "seed": config.seed,
        "chunk": config.chunk,
        "data": source,
        "parts": {label: spec for label, spec in config.parts().items() if label in used},
        "systems": {candidate.name: candidate.nodes for candidate in chosen},
        "conditions": dict(config.conditions) if whole else _drawn(config),
        "metrics": ["accuracy"],
        "compare": {"baseline": ALONE},
        "images": 4 if whole else 0,
    }
    return Evaluate.model_validate(told)


def _drawn(config: Tune) -> dict[str, Any]:
    """Return the conditions of the search: from each entry one is drawn for every image."""
    told = {}
    for group, node in config.conditions.items():
        corruptions = list(getattr(node, "expand", dict)().values())
        told[group] = {"mixed": corruptions} if len(corruptions) > 1 else node
    return told


def _read(folder: RunFolder, evaluate: Evaluate) -> Measured:
    import pyarrow as pa
    from pyarrow import parquet

    seal = complete(folder)
    summary = parse_summary(json.loads(seal.read(folder.summary)))
    table = parquet.read_table(pa.BufferReader(seal.read(folder.results)))
    columns = columns_of(table, summary.cells, [cell.n for cell in summary.cells])
    groups = {group: [condition.name for condition in found] for group, found in evaluate.expanded().items()}
    right: dict[str, dict[str, Numbers]] = {}
    for system in evaluate.systems:
        for group, names in groups.items():
            values = per_image(columns, system, names, NONE, "correct")
            assert values is not None, "a run of classifiers on labelled images knows what is right"
            right.setdefault(system, {})[group] = values
    return Measured(folder, summary, right)


def part_times(found: Measured) -> dict[str, float]:
    """Return the median milliseconds an image of every part, over all chunks of a run.

    The time of a part is taken from all chains that it is in, so that what disturbs one moment of the machine
    disturbs no single candidate. The classifier's time is from its run alone.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(complete(found.folder).read(found.folder.timings)))
    times: dict[str, list[float]] = {}
    for row in table.to_pylist():
        if row["part"] != CLASSIFIER or row["system"] == ALONE:
            times.setdefault(row["part"], []).append(1000.0 * row["seconds"] / row["images"])
    return {part: median(values) for part, values in times.items()}
