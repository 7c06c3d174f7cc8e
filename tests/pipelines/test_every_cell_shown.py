"""Every figure that was measured is in the headline table or in a mean that stands there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.runs.summary import CellFigures

NOISE: dict[str, Any] = {"kind": "gaussian_noise", "severity": 3}
FOG: dict[str, Any] = {"kind": "fog", "severity": 2}
CLEAN: dict[str, Any] = {"kind": "identity"}
LEVELS: dict[str, Any] = {"kind": "jpeg_compression", "each": {"severity": [1, 5]}}
PGD: dict[str, Any] = {"kind": "pgd", "eps": "2/255", "steps": 1}

GRIDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
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
def test_every_measured_cell_has_a_place(grid: str, tmp_path: Path) -> None:
    conditions, attacks = GRIDS[grid]
    config = Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "cells",
            "data": {"kind": "signs", "split": "test", "count": 6, "size": 32},
            "parts": {
                "c": {"kind": "small_convnet", "weights": "signs-standard-v1"},
                "m": {"kind": "median"},
            },
            "systems": {"plain": ["c"], "median": ["m", "c"]},
            "conditions": conditions,
            "attacks": attacks,
            "metrics": ["accuracy"],
            "images": 0,
        }
    )
    folder = run(config, root=tmp_path, workers=1, device="cpu")
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    figures = Figures(summary)
    cells = {(cell["system"], cell["condition"], cell["attack"]) for cell in summary["cells"]}
    assert len(cells) == 2 * sum(len(group) for group in config.expanded().values()) * (1 + len(attacks))
    shown = set()
    for column in figures.columns():
        for system in figures.names:
            entry = figures.entry(system, column)
            assert entry is not None, column
            if isinstance(entry, CellFigures):
                names = [entry.condition]
            else:
                names = [member.name for member in figures.members(column.group)]
            shown |= {(system, name, column.attack) for name in names}
    assert cells == shown
    assert "No figures were measured" not in folder.report.read_text(encoding="utf-8")
