"""Scores of confidence on images of something else: taken in, measured in chunks, set against the run's own.

Chunks lie under seals beside those of the run, so that an interrupted run goes on here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from clearsight.data.contract.column import Column
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.spec import Flow, content_key, kind_of
from clearsight.data.contract.text import cell as in_cell
from clearsight.data.contract.text import csv_text
from clearsight.data.disk import LOCAL
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.contract import Parcel, Sent, shared_by
from clearsight.data.finite import refuse_non_finite
from clearsight.data.home import replace_file
from clearsight.defend.uncertainty import sureness
from clearsight.pipelines.analysis.ood import ood_figures
from clearsight.pipelines.evaluation.attack_batch import judge_streams
from clearsight.pipelines.evaluation.dataset_check import smallest_side, take_in
from clearsight.pipelines.evaluation.job import Job
from clearsight.pipelines.evaluation.rows import by_shape
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.runs.certified import certified_rows, certified_to_bytes
from clearsight.pipelines.runs.columns import RunColumns, floats
from clearsight.pipelines.runs.folder import Row, table_to_bytes
from clearsight.pipelines.runs.grid import Grid, OodCell
from clearsight.pipelines.runs.ood import OodFigures, OtherImages
from clearsight.pipelines.runs.stop_request import stop_if_asked
from clearsight.pipelines.systems.graph import OUT
from clearsight.pipelines.systems.system import System

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.pipelines.config.evaluate import Evaluate
    from clearsight.pipelines.evaluation.dataset_check import Intake
    from clearsight.pipelines.evaluation.plan import Plan

SCORES = tuple(sureness.SURER)
COLUMNS = (Column(name="prediction", label="", dtype="int32"), *(Column(name=n, label="") for n in SCORES))


@dataclass(frozen=True)
class OtherSet:
    """One source of images of something else.

    Attributes:
        intake: its images.
        cells: the systems that see them.
    """

    name: str
    intake: Intake
    cells: tuple[OodCell, ...]


def other_sets(
    config: Evaluate,
    grid: Grid,
    systems: Mapping[str, System],
    setting: Mapping[str, str],
    on_progress: Progress | None,
) -> tuple[OtherSet, ...]:
    """Take the images of all sources in.

    Raises:
        ConfigError: no system classifies.
        DataError: a source has no images that can be used.
    """
    if not config.ood:
        return ()
    named = [name for name in grid.measured if grid.graphs[name].gives is Flow.LOGITS]
    if not named:
        raise ConfigError("scores of confidence need a system that classifies", where="ood")
    sets = []
    for name, source in config.ood.items():
        intake = take_in(
            source,
            minimum=smallest_side([systems[each] for each in named], []),
            on_progress=partial(on_progress, f"read {name}") if on_progress else None,
        )
        of_run = ["ood", intake.fingerprint, config.seed, config.chunk, dict(setting)]
        cells = (
            OodCell(content_key([grid.graphs[system].fingerprint(), *of_run]), system, name)
            for system in named
        )
        sets.append(OtherSet(name, intake, tuple(cells)))
    return tuple(sets)


def facts_of(plan: Plan) -> list[OtherImages]:
    """Return what the summary says of the sources."""
    return [
        OtherImages(
            each.name,
            kind_of(plan.config.ood[each.name]),
            len(each.intake.entries),
            each.intake.fingerprint,
        )
        for each in plan.others
    ]


def job_of(plan: Plan, other: OtherSet) -> Job:
    """Return the run's job with the images of another source."""
    source = plan.config.ood[other.name]
    return replace(
        plan.job, source=source, entries=other.intake.entries, digests=other.intake.digests, shown=frozenset()
    )


def missing(plan: Plan, other: OtherSet) -> list[tuple[int, tuple[OodCell, ...]]]:
    """Return the chunks of a source that are not there or damaged, with the cells that lack them."""
    job, found = job_of(plan, other), []
    for number in range(job.chunks):
        lacking = tuple(cell for cell in other.cells if not job.seal(cell, number).intact())
        if lacking:
            found.append((number, lacking))
    return found


def measure_others(plan: Plan, workers: int, backend: Backend, on_progress: Progress | None) -> None:
    """Measure every chunk that is missing.

    Raises:
        DataError: an image has changed since it was taken in, or logits are not finite.
    """
    for other in plan.others:
        job, units = job_of(plan, other), missing(plan, other)
        executor = executor_for(units, workers, where=str(job.folder.path), backend=backend)
        done = job.chunks - len(units)
        with closing(executor.map(start_scoring, job, units, partial(_packed, job))) as measured:
            for _ in measured:
                done += 1
                stop_if_asked(job.folder)
                if on_progress:
                    on_progress(f"measure {other.name}", done, job.chunks)


def _packed(job: Job, unit: tuple[int, tuple[OodCell, ...]]) -> Parcel:
    number, _ = unit
    here = job.source.everywhere
    return Parcel(unit, number, lambda: None if here else job.samples(job.positions(number)), {})


def start_scoring(job: Job) -> Callable[..., None]:
    """Return a function that scores one chunk on one thread and writes it."""
    systems: dict[str, System] = {}

    def scored(unit: tuple[int, tuple[OodCell, ...]], sent: Sent | None = None) -> None:
        job.refuse_other_kind()
        number, cells = unit
        samples = shared_by(sent, lambda: job.samples(job.positions(number)))
        disk = LOCAL if sent is None else sent.disk
        with one_thread(), torch.inference_mode():
            for cell in cells:
                if cell.system not in systems:
                    systems[cell.system] = job.built(job.graphs[cell.system])
                rows: list[Row] = [{} for _ in samples]
                batches = by_shape(samples, [s.image for s in samples], clean=True, measurements=())
                for batch in batches:
                    ids = [samples[i].id for i in batch.members]
                    streams = judge_streams(ids, job.seed, 0)
                    logits = systems[cell.system].trace(batch.images.to(job.device), streams=streams)[OUT]
                    refuse_non_finite(logits, f"system '{cell.system}' gives logits that are", ids)
                    logits = logits.float().cpu()
                    columns = {"prediction": logits.argmax(1)}
                    columns |= {name: getattr(sureness, name)(logits) for name in SCORES}
                    told = {name: column.tolist() for name, column in columns.items()}
                    for at, i in enumerate(batch.members):
                        values = {name: column[at] for name, column in told.items()}
                        rows[i] = {"id": ids[at], "label": None, **values}
                seal = job.seal(cell, number, disk)
                seal.write(job.folder.chunk(cell.key, number), certified_to_bytes(rows, COLUMNS))
                seal.close()

    return scored


def finish_others(plan: Plan, measured: RunColumns) -> list[OodFigures]:
    """Write the tables of scores and figures, and return the figures.

    Args:
        plan: a run whose chunks are all there.
        measured: the rows of its own images.

    Raises:
        RunError: a file of a chunk is not what its seal says.
    """
    figures: list[OodFigures] = []
    tables: list[pa.Table] = []
    for other in plan.others:
        job = job_of(plan, other)
        for cell in other.cells:
            table = _table(job, cell)
            found = {name: floats(table.column(name)) for name in SCORES}
            figures += ood_figures(measured, cell, found)
            for name in ("source", "system"):
                table = table.add_column(0, name, [[getattr(cell, name)] * table.num_rows])
            tables.append(table)
    if tables:
        import pyarrow as pa

        replace_file(plan.job.folder.ood, table_to_bytes(pa.concat_tables(tables).combine_chunks()))
        replace_file(plan.job.folder.ood_csv, _csv(figures).encode())
    return figures


def _table(job: Job, cell: OodCell) -> pa.Table:
    import pyarrow as pa

    seals = [job.seal(cell, number).opened() for number in range(job.chunks)]
    chunks = [seal.read(job.folder.chunk(cell.key, number)) for number, seal in enumerate(seals)]
    return pa.concat_tables([certified_rows(chunk) for chunk in chunks]).drop_columns(["label"])


def _csv(figures: Sequence[OodFigures]) -> str:
    shares = ("auroc", "aupr_in", "aupr_out", "fpr95")
    ends = [f"{share}{end}" for share in shares for end in ("", "_low", "_high")]
    rows: list[list[object]] = [["system", "condition", "source", "score", "known", "other", *ends]]
    for each in figures:
        place = [*map(in_cell, (each.system, each.condition, each.source))]
        values = [getattr(each, share) for share in shares]
        told = [end for value in values for end in (value.value, value.low, value.high)]
        rows.append([*place, each.score, each.known, each.other, *told])
    return csv_text(rows)
