"""Sweeps: runs that share cells, one table over all, stopping and going on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.executors.choice import Backend
from clearsight.pipelines.cli.status import command as status
from clearsight.pipelines.cli.sweep import command, stop_command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.sweep import Sweep
from clearsight.pipelines.config.yaml_reader import load
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.sweeping.sweep import sweep

Make = Callable[..., Evaluate]


@pytest.fixture
def content(make_config: Make) -> dict[str, Any]:
    """A sweep of the median's size over the toy: 'plain' has the same cells in both runs."""
    whole = make_config(conditions={"clean": {"kind": "identity"}}).model_dump(
        mode="json", exclude_unset=True
    )
    base = {name: node for name, node in whole.items() if name not in ("task", "name", "data")}
    return {
        "task": "sweep",
        "name": "sizes",
        "data": whole["data"],
        "base": base,
        "axes": {"parts.median.size": [3, 5]},
    }


@pytest.mark.slow
def test_runs_share_their_cells_and_stand_in_one_table(content: dict[str, Any], tmp_path: Path) -> None:
    config = Sweep.model_validate(content)
    found = sweep(config, root=tmp_path, workers=1)
    folder = Path(found.folder)
    first, second = (RunFolder(folder / "runs" / each.folder) for each in found.runs)
    assert [each.values for each in found.runs] == [{"parts.median.size": "3"}, {"parts.median.size": "5"}]
    assert "8 of 8 chunks to compute" in first.log.read_text()
    assert "4 chunks taken over from other runs" in second.log.read_text()
    assert "4 of 8 chunks to compute" in second.log.read_text()
    # What was taken over is what the run would have measured.
    alone = run(config.runs()[1][1], root=tmp_path / "alone", workers=1)
    assert second.results.read_bytes() == alone.results.read_bytes()
    rows = list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))
    assert {(row["parts.median.size"], row["system"]) for row in rows} == {
        (size, system) for size in "35" for system in ("plain", "restored")
    }
    assert [(line.values, line.system, line.group) for line in found.lines] == [
        ((size,), system, "clean") for size in "35" for system in ("plain", "restored")
    ]
    assert found.metric == "accuracy"
    assert found.lines[0].figure.value == 1.0
    page = (folder / "report.html").read_text()
    assert all(each.folder in page for each in found.runs)
    assert json.loads((folder / "sweep.json").read_text())["lines"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("chunk-*")}
    assert sweep(config, root=tmp_path, workers=1).lines == found.lines
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("chunk-*")}


@pytest.mark.slow
def test_a_sweep_that_was_asked_to_stop_goes_on(content: dict[str, Any], tmp_path: Path) -> None:
    config = Sweep.model_validate(content)
    asked: list[Path] = []

    def ask(stage: str, done: int, total: int) -> None:
        if stage == "measure" and done == 2 and not asked:
            asked.append(next(tmp_path.glob("sweep_*")))
            stop_command(asked[0])

    with pytest.raises(RunError, match="was asked to stop"):
        sweep(config, root=tmp_path, workers=1, on_progress=ask)
    now = status(asked[0], follow=True, every=1.0)
    assert not now.complete
    assert now.lines()[0].endswith("0 of 2 runs of the sweep")
    assert "stopped: " in now.lines()[1]
    found = sweep(config, root=tmp_path, workers=1)
    assert status(asked[0], follow=False, every=1.0).lines() == [
        f"{asked[0]}: complete, 2 of 2 runs of the sweep"
    ]
    whole = sweep(config, root=tmp_path / "whole", workers=1)
    assert found.lines == whole.lines
    with pytest.raises(RunError, match="it is complete"):
        stop_command(asked[0])
    with pytest.raises(RunError, match="is no folder of a run"):
        stop_command(tmp_path / "nothing")


def test_the_command_prints_the_table(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content | {"axes": {"seed": [0, 1], "images": [1]}}))
    command(path, tmp_path / "runs", workers=1, device="cpu", quiet=True, backend=Backend("local"))
    shown = capsys.readouterr().out
    assert shown.count("restored") == 2
    assert "100.0" in shown
    assert "sweep.csv" in shown


def test_the_base_may_be_a_file(content: dict[str, Any], tmp_path: Path) -> None:
    base = content["base"] | {"task": "evaluate", "name": "base", "data": content["data"]}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    told = {name: content[name] for name in ("task", "name", "axes")} | {"base": str(tmp_path / "base.yaml")}
    assert Sweep.model_validate(told).key() == Sweep.model_validate(content).key()
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(told | {"base": str(tmp_path / "none.yaml")}))
    with pytest.raises(ConfigError, match=r"sweep.yaml.*none.yaml"):
        load(tmp_path / "sweep.yaml").parse(Sweep)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"axes": {"parts.median.size": [3, 4]}}, "the run with parts.median.size: 4"),
        ({"axes": {"seed.deeper": [3]}}, "lies within 0"),
        ({"axes": {"seed": list(range(1001))}}, "1,001 runs, at most 1,000"),
        ({"base": {"name": "x"}}, "'name' is a field of the sweep itself"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    content: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    content["base"]["seed"] = 0
    with pytest.raises(ValueError, match=told):
        Sweep.model_validate(content | changes)
