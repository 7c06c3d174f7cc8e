"""Finishes a run: joins the chunks, sums them up, writes tables and report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.spec import PartSpec, kind_of
from clearsight.data.corruptions.sequence import CorruptionSequence
from clearsight.data.home import replace_file
from clearsight.pipelines.analysis.summary import Summary
from clearsight.pipelines.analysis.training_cost import training_of
from clearsight.pipelines.checks.attack_facts import describe, load_facts
from clearsight.pipelines.evaluation.input_gradients import keep_gradients
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
from clearsight.pipelines.runs.folder import Row, assemble, write_json, write_table
from clearsight.pipelines.runs.summary import SCHEMA, RunSummary
from clearsight.pipelines.systems.threats import is_attack

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.pipelines.evaluation.plan import Plan
    from clearsight.pipelines.runs.grid import Cell


def finish(plan: Plan, *, seconds: float, workers: int) -> None:
    """Write every file that a complete run has; ``DONE`` comes last."""
    folder = plan.job.folder
    table = assemble(folder, plan.cells, plan.job.chunks, plan.job.columns)
    timings = _timings(plan)
    write_table(folder.timings, timings)
    summary = _summary(plan, table, timings, Timing(round(seconds, 1), workers))
    write_json(folder.summary, summary.to_json())
    replace_file(folder.summary_csv, _csv(summary).encode())
    _index_images(plan, table)
    keep_gradients(plan)
    write_report(folder.path)
    replace_file(folder.done, b"")


def _summary(plan: Plan, table: pa.Table, timings: list[Row], timing: Timing) -> RunSummary:
    config, grid = plan.config, plan.grid
    baseline = config.compare.baseline if config.compare else None
    columns = columns_of(table, plan.cells)
    measured = RunColumns(grid, columns, baseline, config.seed, plan.classes)
    facts = load_facts(plan.job.folder, plan.cells, grid.attacks, plan.job.chunks)
    figures = Summary(measured, plan.cells, plan.metrics, facts).figures()
    return RunSummary(
        schema=SCHEMA,
        name=config.name,
        title=config.title or config.name,
        key=plan.job.folder.path.name.rpartition("_")[2],
        task=config.task,
        seed=config.seed,
        started=plan.job.folder.path.name[:10],
        complete=True,
        data=_data(plan),
        systems=[_system(plan, name, baseline, timings) for name in grid.measured],
        conditions=[_condition(plan, name) for name in grid.conditions],
        attacks=[describe(name, attack) for name, attack in grid.attacks.items()],
        metrics=[kind_of(metric) for metric in plan.metrics],
        warnings=list(plan.warnings),
        cells=figures.cells,
        worst=figures.worst,
        per_class=figures.per_class,
        pairs=figures.pairs,
        aggregates=figures.aggregates,
        kinds=figures.kinds,
        comparison=figures.comparison,
        timing=timing,
    )


def _data(plan: Plan) -> DataFacts:
    return DataFacts(
        kind=kind_of(plan.config.data),
        description=_describe(plan),
        samples=len(plan.intake.entries),
        fingerprint=plan.intake.fingerprint,
        classes=list(plan.intake.classes),
        skipped=[SkippedImage(skipped.id, skipped.reason) for skipped in plan.intake.skipped],
    )


def _describe(plan: Plan) -> str:
    source: Any = plan.config.data
    said = source.model_dump(mode="json", exclude_defaults=True)
    words = [str(said[name]).rpartition("/")[2] for name in ("path", "split", "subset") if name in said]
    synthetic = " (synthetic)" if source.kind == "signs" else ""
    name = ", ".join([f"{source.kind}{synthetic}", *words])
    return f"{name}: {len(plan.intake.entries)} images, {plan.intake.describe_size()}"


def _system(plan: Plan, name: str, baseline: str | None, timings: list[Row]) -> SystemFacts:
    graph = plan.grid.graphs[name]
    per_chunk: dict[tuple[str, str, int], list[Row]] = {}
    for row in timings:
        if row["system"] == name and row["part"] != ATTACK:
            per_chunk.setdefault((row["condition"], row["attack"], row["chunk"]), []).append(row)
    each = [1000.0 * sum(r["seconds"] for r in rows) / rows[0]["images"] for rows in per_chunk.values()]
    low, value, high = (float(q) for q in np.quantile(each, (0.025, 0.5, 0.975)))
    return SystemFacts(
        name=name,
        baseline=name == baseline,
        chain=graph.describe(),
        parts=[_part(part, spec, plan.parameters[f"{name}/{part}"]) for part, spec in graph.parts.items()],
        ms_per_image=Time(round(value, 4), round(low, 4), round(high, 4)),
    )


def _part(name: str, spec: PartSpec, parameters: int) -> PartFacts:
    from clearsight.data.weights import find

    weights = find(spec.weights) if spec.weights else None
    return PartFacts(
        name=name,
        kind=spec.name,
        spec=spec.resolved().model_dump(mode="json", exclude={"class_names"}, exclude_none=True),
        weights=spec.weights,
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
        kind=kind_of(corruption),
        severity=corruption.severity,
        table=corruption.table,
        family=corruption.group,
        steps=[CorruptionStep(kind_of(step), step.severity) for step in steps],
    )


def _timings(plan: Plan) -> list[Row]:
    rows = []
    for cell in plan.cells:
        for number in range(plan.job.chunks):
            path = plan.job.folder.timing(cell.key, number)
            found: Mapping[str, Any] = json.loads(path.read_text())
            place = {
                "system": cell.system,
                "condition": cell.condition,
                "attack": cell.attack,
                "chunk": number,
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
    found: list[Row] = []
    for name, condition in plan.grid.conditions.items():
        for i in shown:
            entry = plan.intake.entries[i]
            common: Row = {"condition": name, "sample": entry.id, "label": entry.truth}
            file = plan.job.folder.image("input", condition.corruption.key(), i).name
            nothing: Row = {"system": None, "attack": None, "prediction": None, "confidence": None}
            found.append({**common, "file": file, **nothing})
            for j, cell in enumerate(plan.cells):
                if cell.condition == name:
                    shot = common | _shot(plan, cell, i) | _said(plan, table, j, i)
                    if _attacked(plan, cell):
                        before = bare.get((cell.system, name))
                        shot["before"] = None if before is None else _said(plan, table, before, i)
                    found.append(shot)
    write_json(plan.job.folder.images_index, found)


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
    row = table.slice(cell * len(plan.intake.entries) + image, 1).to_pylist()[0]
    return {"prediction": row["prediction"], "confidence": row["confidence"]}


def _csv(summary: RunSummary) -> str:
    """Return one line a cell and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["system", "condition", "attack", "n", "metric", "value", "low", "high", "interval"])
    for cell in summary.cells:
        for metric, figure in cell.metrics.items():
            if figure:
                place = [cell.system, cell.condition, cell.attack, cell.n, metric]
                writer.writerow([*place, figure.value, figure.low, figure.high, figure.method])
    return out.getvalue()
