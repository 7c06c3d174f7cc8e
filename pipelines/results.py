"""Finishes a run: joins the chunks, sums them up, writes tables and report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from data.contract.spec import PartSpec, kind_of
from data.home import replace_file
from pipelines.graph import part_facts
from pipelines.measure import ATTACK
from pipelines.measured import Measured, columns_of
from pipelines.report.page import write_report
from pipelines.store import Row, assemble, write_table
from pipelines.summary import Summary

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.plan import Plan


def finish(plan: Plan, *, seconds: float, workers: int) -> None:
    """Write every file that a complete run has; ``DONE`` comes last."""
    folder = plan.job.folder
    table = assemble(folder, plan.cells, plan.job.chunks)
    timings = _timings(plan)
    write_table(folder.path / "timings.parquet", timings)
    summary = _summary(plan, table, timings) | {"timing": {"seconds": round(seconds, 1), "workers": workers}}
    folder.write_json("summary.json", summary)
    replace_file(folder.path / "summary.csv", _csv(summary).encode())
    _index_pictures(plan, table)
    write_report(folder.path)
    replace_file(folder.done, b"")


def _summary(plan: Plan, table: pa.Table, timings: list[Row]) -> dict[str, Any]:
    config, grid = plan.config, plan.grid
    baseline = config.compare.baseline if config.compare else None
    columns = columns_of(table, plan.cells)
    measured = Measured(grid, columns, baseline, config.seed, plan.classes)
    return {
        "schema": 1,
        "name": config.name,
        "title": config.title or config.name,
        "key": plan.job.folder.path.name.rpartition("_")[2],
        "task": config.task,
        "seed": config.seed,
        "started": plan.job.folder.path.name[:10],
        "complete": True,
        "data": {
            "kind": kind_of(config.data),
            "description": _describe(plan),
            "samples": len(plan.intake.entries),
            "fingerprint": plan.intake.fingerprint,
            "classes": list(plan.intake.classes),
            "skipped": [vars(skipped) for skipped in plan.intake.skipped],
        },
        "systems": [_system(plan, name, baseline, timings) for name in grid.graphs],
        "conditions": [_condition(plan, name) for name in grid.conditions],
        "attacks": [{"name": n, "kind": kind_of(a)} for n, a in grid.attacks.items()],
        "metrics": [kind_of(metric) for metric in plan.metrics],
        "warnings": list(plan.warnings),
        **Summary(measured, plan.cells, plan.metrics).figures(),
    }


def _describe(plan: Plan) -> str:
    source: Any = plan.config.data
    said = source.model_dump(mode="json", exclude_defaults=True)
    words = [str(said[name]).rpartition("/")[2] for name in ("path", "split", "subset") if name in said]
    synthetic = " (synthetic)" if source.kind == "signs" else ""
    name = ", ".join([f"{source.kind}{synthetic}", *words])
    return f"{name}: {len(plan.intake.entries)} images, {plan.intake.describe_size()}"


def _system(plan: Plan, name: str, baseline: str | None, timings: list[Row]) -> dict[str, Any]:
    graph = plan.grid.graphs[name]
    per_chunk: dict[tuple[str, str, int], list[Row]] = {}
    for row in timings:
        if row["system"] == name and row["part"] != ATTACK:
            per_chunk.setdefault((row["condition"], row["attack"], row["chunk"]), []).append(row)
    each = [1000.0 * sum(r["seconds"] for r in rows) / rows[0]["images"] for rows in per_chunk.values()]
    low, value, high = (float(q) for q in np.quantile(each, (0.025, 0.5, 0.975)))
    return {
        "name": name,
        "baseline": name == baseline,
        "chain": graph.describe(),
        "parts": [_part(part, spec, plan.parameters[f"{name}/{part}"]) for part, spec in graph.parts.items()],
        "ms_per_image": {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)},
    }


def _part(name: str, spec: PartSpec, parameters: int) -> dict[str, Any]:
    from data.weights import find

    return {
        "name": name,
        "kind": spec.name,
        "spec": spec.resolved().model_dump(mode="json", exclude={"class_names"}, exclude_none=True),
        "weights": spec.weights,
        "sha256": find(spec.weights).sha256 if spec.weights else None,
        "parameters": parameters,
        **part_facts(spec),
    }


def _condition(plan: Plan, name: str) -> dict[str, Any]:
    condition = plan.grid.conditions[name]
    corruption = condition.corruption
    return {
        "name": name,
        "group": condition.group,
        "groups": [group for group, names in plan.grid.groups.items() if name in names],
        "kind": kind_of(corruption),
        "severity": corruption.severity,
        "table": corruption.table,
        "family": corruption.group,
    }


def _timings(plan: Plan) -> list[Row]:
    rows = []
    for cell in plan.cells:
        for number in range(plan.job.chunks):
            path = plan.job.folder.chunk(cell, number).with_name(f"timing-{number:05d}.json")
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


def _index_pictures(plan: Plan, table: pa.Table) -> None:
    """Write ``pictures/pictures.json``: which file shows what, with the prediction."""
    folder, n = plan.job.folder, len(plan.intake.entries)
    shown = sorted(plan.job.shown)
    if not shown:
        return
    found: list[Row] = []
    for name, condition in plan.grid.conditions.items():
        key = condition.corruption.key()[:16]
        for i in shown:
            entry = plan.intake.entries[i]
            common = {"condition": name, "sample": entry.id, "label": entry.label}
            nothing = {"prediction": None, "confidence": None}
            found.append(common | {"system": None, "file": f"input-{key}-{i:06d}.png"} | nothing)
            for j, cell in enumerate(plan.cells):
                if cell.condition == name:
                    row = table.slice(j * n + i, 1).to_pylist()[0]
                    file = f"cell-{cell.key[:16]}-{i:06d}.png"
                    there = (folder.path / "pictures" / file).exists()
                    said = {"prediction": row["prediction"], "confidence": row["confidence"]}
                    found.append(common | {"system": cell.system, "file": file if there else None} | said)
    folder.write_json("pictures/pictures.json", found)


def _csv(summary: Mapping[str, Any]) -> str:
    """Return one line a cell and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["system", "condition", "attack", "n", "metric", "value", "low", "high", "interval"])
    for cell in summary["cells"]:
        for metric, figure in cell["metrics"].items():
            if figure:
                place = [cell["system"], cell["condition"], cell["attack"], cell["n"], metric]
                writer.writerow([*place, figure["value"], figure["low"], figure["high"], figure["method"]])
    return out.getvalue()
