"""Finishes a run: joins the chunks, sums them up, writes tables and report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.spec import PartSpec, kind_of
from clearsight.data.contract.text import cell as in_cell
from clearsight.data.contract.text import csv_text
from clearsight.data.corruptions.base import constants_in_words
from clearsight.data.corruptions.sequence import CorruptionSequence
from clearsight.data.home import replace_file
from clearsight.pipelines.analysis.risk_coverage import risk_curves
from clearsight.pipelines.analysis.screened import screened_figures
from clearsight.pipelines.analysis.summary import RunFigures, Summary
from clearsight.pipelines.analysis.training_cost import training_of
from clearsight.pipelines.checks.attack_facts import describe, load_facts
from clearsight.pipelines.evaluation.certificates import certificate_facts, finish_certificates
from clearsight.pipelines.evaluation.input_gradients import keep_gradients
from clearsight.pipelines.evaluation.ood import facts_of, finish_others
from clearsight.pipelines.evaluation.worker import ATTACK
from clearsight.pipelines.report.page import write_report
from clearsight.pipelines.runs.columns import RunColumns, columns_of
from clearsight.pipelines.runs.facts import (
    ConditionFacts,
    CorruptionStep,
    DataFacts,
    PartFacts,
    SkippedImage,
    SystemFacts,
    Time,
    Timing,
)
from clearsight.pipelines.runs.folder import Chunks, Row, assemble, table_to_bytes, write_json, write_table
from clearsight.pipelines.runs.sealed import mark_complete
from clearsight.pipelines.runs.summary import SCHEMA, RunSummary
from clearsight.pipelines.systems.threats import is_attack

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.pipelines.evaluation.plan import Plan
    from clearsight.pipelines.runs.grid import Cell

NOT_RECORDED = "not recorded"
"""Kind of the machine of a chunk that an older version computed."""
NAMED = 3
"""Damaged files that a warning names."""


def finish(plan: Plan, *, seconds: float, workers: int, damaged: Sequence[str] = ()) -> None:
    """Write every file that a complete run has; ``DONE`` comes last.

    Args:
        plan: a run whose chunks are all there.
        seconds: that this call took so far.
        workers: its processes.
        damaged: what was wrong with chunks that this call measured again.

    Raises:
        RunError: a file of a chunk does not match its seal.
    """
    folder = plan.job.folder
    chunks = {
        cell.key: [plan.job.seal(cell, n).opened() for n in range(plan.ends.of(cell.condition) or 0)]
        for cell in plan.cells
    }
    table = assemble(folder, plan.cells, chunks, plan.job.columns)
    replace_file(folder.results, table_to_bytes(table))
    timings = _timings(plan, chunks)
    write_table(folder.timings, timings)
    counts = [plan.ends.images_of(cell.condition) for cell in plan.cells]
    columns = columns_of(table, plan.cells, counts)
    facts = load_facts(folder, plan.cells, plan.grid.attacks, chunks)
    baseline = plan.config.compare.baseline if plan.config.compare else None
    looks = len(plan.ends.looks)
    measured = RunColumns(plan.grid, columns, baseline, plan.config.seed, plan.classes, looks)
    figures = Summary(measured, plan.cells, plan.metrics, facts).figures()
    summary = replace(
        _summary(plan, figures, timings, damaged),
        timing=Timing(round(seconds, 1), workers, _machines(timings)),
        certified=finish_certificates(plan, columns),
        ood=finish_others(plan, measured),
        screened=screened_figures(measured),
        risk_curves=risk_curves(measured, plan.metrics),
    )
    write_json(folder.summary, summary.to_json())
    replace_file(folder.summary_csv, _csv(summary).encode())
    _index_images(plan, table)
    keep_gradients(plan)
    # An audit by an earlier call is of figures that no longer exist.
    folder.audit.unlink(missing_ok=True)
    write_report(folder.path)
    mark_complete(folder)


def begun(plan: Plan) -> RunSummary:
    """Return what the summary says of a run before anything is measured."""
    config, grid = plan.config, plan.grid
    baseline = config.compare.baseline if config.compare else None
    return RunSummary(
        schema=SCHEMA,
        name=config.name,
        title=config.title or config.name,
        key=plan.job.folder.path.name.rpartition("_")[2],
        task=config.task,
        seed=config.seed,
        started=plan.job.folder.path.name[:10],
        complete=False,
        planned=len(plan.cells),
        data=_data(plan),
        systems=[_system(plan, name, baseline) for name in grid.measured],
        conditions=[_condition(plan, name) for name in grid.conditions],
        attacks=[describe(name, attack) for name, attack in grid.attacks.items()],
        metrics=[metric.figure for metric in plan.metrics],
        warnings=list(plan.warnings),
        stop=plan.ends.facts,
        certificates=certificate_facts(plan),
        others=facts_of(plan),
    )


def with_figures(summary: RunSummary, figures: RunFigures) -> RunSummary:
    """Return a summary with what was computed from the rows."""
    return replace(
        summary,
        cells=figures.cells,
        worst=figures.worst,
        per_class=figures.per_class,
        pairs=figures.pairs,
        aggregates=figures.aggregates,
        kinds=figures.kinds,
        comparison=figures.comparison,
        detected=figures.detected,
    )


def _summary(plan: Plan, figures: RunFigures, timings: list[Row], damaged: Sequence[str]) -> RunSummary:
    summary = with_figures(begun(plan), figures)
    systems = [replace(system, ms_per_image=_time(system.name, timings)) for system in summary.systems]
    return replace(summary, complete=True, systems=systems, warnings=[*summary.warnings, *_again(damaged)])


def _again(damaged: Sequence[str]) -> list[str]:
    """Return a warning that names the first chunks that were damaged; the log names all."""
    if not damaged:
        return []
    more = f" and {len(damaged) - NAMED} more (see log.txt)" if len(damaged) > NAMED else ""
    return [f"damaged, and measured again in this call: {'; '.join(damaged[:NAMED])}{more}"]


def _data(plan: Plan) -> DataFacts:
    return DataFacts(
        kind=kind_of(plan.config.data),
        description=_describe(plan),
        samples=len(plan.intake.entries),
        fingerprint=plan.intake.fingerprint,
        classes=list(plan.intake.classes),
        skipped=[SkippedImage(skipped.id, skipped.reason) for skipped in plan.intake.skipped],
        passed_over=[SkippedImage(skipped.id, skipped.reason) for skipped in plan.intake.passed_over],
        synthetic=plan.job.source.synthetic,
    )


def _describe(plan: Plan) -> str:
    source: Any = plan.job.source
    said = source.model_dump(mode="json", exclude_defaults=True)
    words = [str(said[name]).rpartition("/")[2] for name in ("path", "split", "subset") if name in said]
    synthetic = f" ({source.synthetic})" if source.synthetic else ""
    name = ", ".join([f"{source.kind}{synthetic}", *words])
    tables = {t for each in plan.grid.conditions.values() for t in each.corruption.all_tables}
    constants = f"; {constants_in_words(tables)}" if tables else ""
    return f"{name}: {len(plan.intake.entries)} images, {plan.intake.describe_size()}{constants}"


def _system(plan: Plan, name: str, baseline: str | None) -> SystemFacts:
    graph = plan.grid.graphs[name]
    return SystemFacts(
        name=name,
        baseline=name == baseline,
        chain=graph.describe(),
        parts=[_part(part, spec, plan.parameters[f"{name}/{part}"]) for part, spec in graph.parts.items()],
    )


def _time(system: str, timings: list[Row]) -> Time:
    per_chunk: dict[tuple[str, str, int], list[Row]] = {}
    for row in timings:
        if row["system"] == system and row["part"] != ATTACK:
            per_chunk.setdefault((row["condition"], row["attack"], row["chunk"]), []).append(row)
    each = [1000.0 * sum(r["seconds"] for r in rows) / rows[0]["images"] for rows in per_chunk.values()]
    low, value, high = (float(q) for q in np.quantile(each, (0.025, 0.5, 0.975)))
    return Time(round(value, 4), round(low, 4), round(high, 4))


def _part(name: str, spec: PartSpec, parameters: int) -> PartFacts:
    from clearsight.data.weights import find

    weights = find(spec.decided_by) if spec.decided_by else None
    return PartFacts(
        name=name,
        kind=spec.name,
        spec=spec.resolved().model_dump(mode="json", exclude={"class_names"}, exclude_none=True),
        weights=spec.decided_by,
        sha256=weights.sha256 if weights else None,
        training=training_of(weights.card) if weights else None,
        parameters=parameters,
        gradient=str(spec.gradient),
        stochastic=spec.stochastic,
        onnx=spec.onnx,
    )


def _condition(plan: Plan, name: str) -> ConditionFacts:
    condition = plan.grid.conditions[name]
    corruption = condition.corruption
    steps = corruption.steps if isinstance(corruption, CorruptionSequence) else ()
    return ConditionFacts(
        name=name,
        group=condition.group,
        groups=[group for group, names in plan.grid.groups.items() if name in names],
        kind=corruption.called,
        severity=corruption.severity,
        table=corruption.table,
        family=corruption.group,
        steps=[CorruptionStep(step.called, step.severity) for step in steps],
    )


def _timings(plan: Plan, chunks: Chunks) -> list[Row]:
    rows = []
    for cell in plan.cells:
        for number, seal in enumerate(chunks[cell.key]):
            found: Mapping[str, Any] = json.loads(seal.read(plan.job.folder.timing(cell.key, number)))
            place = {
                "system": cell.system,
                "condition": cell.condition,
                "attack": cell.attack,
                "chunk": number,
                "machine": found.get("machine", NOT_RECORDED),
            }
            for part, seconds in found["seconds"].items():
                rows.append(place | {"part": part, "images": found["images"], "seconds": seconds})
    return rows


def _index_images(plan: Plan, table: pa.Table) -> None:
    """Write ``images/images.json``: which file shows what, with the prediction.

    An entry of an attacked cell names the adversarial image too, and what the system said of the same
    image without an attack (None where that was not measured).
    """
    shown = sorted(plan.job.shown)
    if not shown:
        return
    bare = {(c.system, c.condition): j for j, c in enumerate(plan.cells) if not _attacked(plan, c)}
    rows: list[Row] = []
    for name, condition in plan.grid.conditions.items():
        for i in shown:
            entry = plan.intake.entries[i]
            common: Row = {"condition": name, "sample": entry.id, "label": entry.truth}
            file = plan.job.folder.image("input", condition.corruption.key(), i).name
            nothing: Row = {"system": None, "attack": None, "prediction": None, "confidence": None}
            rows.append({**common, "file": file, **nothing})
            for j, cell in enumerate(plan.cells):
                if cell.condition == name:
                    shot = common | _shot(plan, cell, i) | _said(plan, table, j, i)
                    if _attacked(plan, cell):
                        before = bare.get((cell.system, name))
                        shot["before"] = None if before is None else _said(plan, table, before, i)
                    rows.append(shot)
    write_json(plan.job.folder.images_index, rows)


def _attacked(plan: Plan, cell: Cell) -> bool:
    return is_attack(plan.grid.attacks[cell.attack])


def _shot(plan: Plan, cell: Cell, image: int) -> Row:
    """Return the files of a cell's image: what was restored, and what an attack made."""

    def there(role: str) -> str | None:
        path = plan.job.folder.image(role, cell.key, image)
        return path.name if path.exists() else None

    shot: Row = {"system": cell.system, "attack": cell.attack, "file": there("cell")}
    return shot | {"adversarial": there("adversarial")} if _attacked(plan, cell) else shot


def _said(plan: Plan, table: pa.Table, cell: int, image: int) -> Row:
    before = sum(plan.ends.images_of(other.condition) for other in plan.cells[:cell])
    row = table.slice(before + image, 1).to_pylist()[0]
    return {"prediction": row["prediction"], "confidence": row["confidence"]}


def _machines(timings: Sequence[Row]) -> dict[str, int]:
    """Return kind of machine -> chunks of cells that it computed."""
    kinds = {
        (row["system"], row["condition"], row["attack"], row["chunk"]): row["machine"] for row in timings
    }
    return dict(sorted(Counter(kinds.values()).items()))


def _csv(summary: RunSummary) -> str:
    """Return one line a cell and metric."""
    rows: list[list[object]] = [
        ["system", "condition", "attack", "n", "metric", "value", "low", "high", "interval"]
    ]
    for cell in summary.cells:
        for metric, figure in cell.metrics.items():
            if figure:
                place = [*map(in_cell, (cell.system, cell.condition, cell.attack)), cell.n, metric]
                rows.append([*place, figure.value, figure.low, figure.high, figure.method])
    return csv_text(rows)
