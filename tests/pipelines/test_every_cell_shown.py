"""Every figure that was measured is in the headline table or in a mean that stands there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.report.tables import every_cell
from clearsight.pipelines.runs.grid import make_grid
from clearsight.pipelines.runs.summary import CellFigures

NOISE: dict[str, Any] = {"kind": "gaussian_noise", "severity": 3}
FOG: dict[str, Any] = {"kind": "fog", "severity": 2}
RISING: dict[str, Any] = {"kind": "fog", "each": {"severity": [0, 2]}}
CLEAN: dict[str, Any] = {"kind": "identity"}
LEVELS: dict[str, Any] = {"kind": "jpeg_compression", "each": {"severity": [1, 5]}}
PGD: dict[str, Any] = {"kind": "pgd", "eps": "2/255", "steps": 1}

GRIDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clean alone": ({"clean": CLEAN}, {}),
    "clean alone, attacked": ({"clean": CLEAN}, {"pgd": PGD}),
    "clean twice": ({"clean": CLEAN, "fog": FOG | {"severity": 0}}, {}),
    "clean and a severity of 0": ({"clean": CLEAN, "fog": RISING}, {}),
    "severities from 0": ({"fog": RISING | {"each": {"severity": [0, 2, 4]}}}, {"pgd": PGD}),
    "one": ({"noise": NOISE}, {}),
    "two": ({"noise": NOISE, "fog": FOG}, {}),
    "clean and one": ({"clean": CLEAN, "noise": NOISE}, {}),
    "clean and two": ({"clean": CLEAN, "noise": NOISE, "fog": FOG}, {}),
    "one and a group": ({"noise": NOISE, "jpeg": LEVELS}, {}),
    "a group": ({"jpeg": LEVELS}, {}),
    "clean by severity": ({"fog": FOG | {"severity": 0}, "noise": NOISE}, {}),
    "attacked": ({"noise": NOISE}, {"pgd": PGD}),
    "all": ({"clean": CLEAN, "noise": NOISE, "fog": FOG, "jpeg": LEVELS}, {"pgd": PGD}),
}


@pytest.mark.parametrize("grid", sorted(GRIDS))
@pytest.mark.slow
def test_every_measured_cell_has_a_place(grid: str, tmp_path: Path) -> None:
    conditions, attacks = GRIDS[grid]
    check(config_of(conditions, attacks), tmp_path)


def config_of(conditions: dict[str, Any], attacks: dict[str, Any]) -> Evaluate:
    told: dict[str, Any] = {
        "task": "evaluate",
        "name": "cells",
        "data": {"kind": "signs", "split": "test", "count": 6, "size": 32},
        "parts": {
            "c": {"kind": "small_convnet", "weights": "signs-standard-v1"},
            "m": {"kind": "median"},
        },
        "systems": {"plain": ["c"], "median": ["m", "c"]},
        "conditions": conditions,
        "metrics": ["accuracy"],
        "images": 0,
    }
    if attacks:
        told["attacks"] = attacks
    return Evaluate.model_validate(told)


def check(config: Evaluate, root: Path) -> None:
    """Run a config; look for each of its cells in rows, summary, tables and page."""
    folder = run(config, root=root, workers=1, device="cpu")
    wanted = set(make_grid(config).triples)
    rows = parquet.read_table(folder.results).select(["system", "condition", "attack"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == wanted
    assert len(rows) == 6 * len(wanted)
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    figures = Figures(summary)
    assert {(cell["system"], cell["condition"], cell["attack"]) for cell in summary["cells"]} == wanted
    with folder.summary_csv.open(encoding="utf-8", newline="") as file:
        lines = {(line["system"], line["condition"], line["attack"]) for line in csv.DictReader(file)}
    assert lines == wanted
    assert {(row["system"], row["condition"], row["attack"]) for row in every_cell(figures)} == wanted
    page = folder.report.read_text(encoding="utf-8")
    assert f"Every cell as a table ({len(wanted)})" in page
    for system, condition, attack in wanted:
        row = f'<tr><th scope="row">{condition}</th><td>{system}</td><td>{attack}</td><td class="num">6</td>'
        assert page.count(row) == 1
    tables = markdown(summary)
    shown = set()
    for column in figures.columns():
        for system in figures.names:
            entry = figures.entry(system, column)
            if entry is None:
                continue
            if isinstance(entry, CellFigures):
                names = [entry.condition]
            else:
                names = [member.name for member in figures.members(column.group)]
            shown |= {(system, name, column.attack) for name in names}
    assert wanted <= shown
    for system, condition, _ in wanted:
        assert system in tables
        assert condition in tables
    assert "No figures were measured" not in page
