"""What an unfinished run has measured so far: figures of the cells whose chunks are all there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal, chunk_seal
from clearsight.pipelines.analysis.summary import Summary
from clearsight.pipelines.checks.attack_facts import load_facts
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.measuring import measurements_of, metrics_of
from clearsight.pipelines.evaluation.results import with_figures
from clearsight.pipelines.evaluation.stopping import Ends
from clearsight.pipelines.runs.columns import RunColumns, columns_of
from clearsight.pipelines.runs.folder import assemble, read_json
from clearsight.pipelines.runs.grid import Cell, Grid, make_grid
from clearsight.pipelines.runs.summary import RunSummary, parse_summary


@dataclass(frozen=True)
class SoFar:
    """How far a run came.

    Attributes:
        summary: of the cells that are measured; it says that it is not complete.
        cells: number of cells of the config.
        chunks: chunks that are measured, those of unfinished cells too.
        all_chunks: chunks of all cells.
    """

    summary: RunSummary
    cells: int
    chunks: int
    all_chunks: int


def so_far(folder: RunFolder) -> SoFar:
    """Summarise a run that is not finished; nothing is measured, and damaged chunks count as missing.

    Raises:
        RunError: it is no run folder, or an older version made it.
    """
    resolved = read_json(folder.resolved)
    try:
        cells, count, classes = (
            [Cell(**cell) for cell in resolved["cells"]],
            int(resolved["chunks"]),
            resolved["classes"],
        )
        config, begun = Evaluate.model_validate(resolved["config"]), parse_summary(resolved["begun"])
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError):
        raise RunError(
            "is damaged, or was written by an older version",
            where=str(folder.resolved),
            hint="run the same config again",
        ) from None
    grid = make_grid(config)
    ends = Ends(folder, cells, begun.data.samples, config.chunk, config.stop)
    wanted = {cell.key: ends.of(cell.condition) for cell in cells}
    seals = {cell.key: _whole(folder, cell, wanted[cell.key] or count) for cell in cells}
    done = [cell for cell in cells if len(seals[cell.key]) == wanted[cell.key]]
    measured = sum(len(seals[cell.key]) for cell in cells)
    summary = _figures(folder, config, _reduced(grid, done), done, seals, _named(begun, done), classes, ends)
    return SoFar(summary, len(cells), measured, sum(chunks or count for chunks in wanted.values()))


def _whole(folder: RunFolder, cell: Cell, count: int) -> list[Seal]:
    """Return the seals of the chunks whose files match them."""
    seals = []
    for number in range(count):
        try:
            seal = chunk_seal(folder, cell.key, number).opened()
            seal.check()
        except RunError:
            continue
        seals.append(seal)
    return seals


def _reduced(grid: Grid, done: Sequence[Cell]) -> Grid:
    """Return the part of a grid that is measured; other systems stay, for attacks are made on them."""
    used = {cell.condition for cell in done}
    groups = {group: tuple(n for n in names if n in used) for group, names in grid.groups.items()}
    return replace(
        grid,
        conditions={name: condition for name, condition in grid.conditions.items() if name in used},
        groups={group: names for group, names in groups.items() if names},
        triples=tuple((cell.system, cell.condition, cell.attack) for cell in done),
    )


def _named(begun: RunSummary, done: Sequence[Cell]) -> RunSummary:
    """Return the summary with the systems, conditions and attacks that have figures."""
    return replace(
        begun,
        systems=[facts for facts in begun.systems if facts.name in {cell.system for cell in done}],
        conditions=[facts for facts in begun.conditions if facts.name in {cell.condition for cell in done}],
        attacks=[facts for facts in begun.attacks if facts.name in {cell.attack for cell in done}],
    )


def _figures(
    folder: RunFolder,
    config: Evaluate,
    grid: Grid,
    done: Sequence[Cell],
    chunks: Mapping[str, Sequence[Seal]],
    begun: RunSummary,
    classes: Any,
    ends: Ends,
) -> RunSummary:
    if not done:
        return begun
    whole = make_grid(config)
    measurements = measurements_of(metrics_of(config, whole, labelled=True))
    columns = tuple(column for measurement in measurements for column in measurement.columns)
    table = assemble(folder, done, chunks, columns)
    labelled = table.column("label").null_count == 0
    baseline = config.compare.baseline if config.compare else None
    rows = columns_of(table, done, [ends.images_of(cell.condition) for cell in done])
    measured = RunColumns(grid, rows, baseline, config.seed, classes, len(ends.looks))
    facts = load_facts(folder, done, grid.attacks, chunks)
    metrics = metrics_of(config, whole, labelled=labelled)
    return with_figures(begun, Summary(measured, done, metrics, facts).figures())
