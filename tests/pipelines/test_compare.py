"""Two runs compared image by image: ``clearsight compare``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.analysis.across import across
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.across import Line, Rule
from clearsight.pipelines.runs.sealed import mark_complete

Make = Callable[..., Evaluate]
NOISE = {"kind": "gaussian_noise", "each": {"severity": [1, 3]}}


@pytest.fixture
def first(make_config: Make, tmp_path: Path) -> Path:
    config = make_config(
        conditions={"clean": {"kind": "identity"}, "noise": NOISE}, metrics=["accuracy", "ece", "psnr_in"]
    )
    return run(config, root=tmp_path / "runs", workers=1).path


def code(*words: str) -> int:
    """Run the command line and return its exit code."""
    try:
        main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def changed(run_folder: Path, to: Path, flip: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Path:
    """Copy a run and turn round the rows of ``correct`` that ``flip`` names."""
    shutil.copytree(run_folder, to)
    table = parquet.read_table(to / "results.parquet")
    columns = {name: np.asarray(table.column(name)) for name in ("system", "condition", "correct")}
    right = columns["correct"].astype(bool) ^ flip(columns)
    place = table.column_names.index("correct")
    parquet.write_table(table.set_column(place, "correct", pa.array(right)), to / "results.parquet")
    mark_complete(RunFolder(to))
    return to


def test_a_run_equals_itself(first: Path) -> None:
    found = across(first, first)
    assert found.lines == []
    assert "plain: 'accuracy' is equal, image by image" in found.left_out
    assert found.changed == []


def test_every_line_is_the_difference_of_the_means(first: Path, tmp_path: Path) -> None:
    """All right answers of one system under noise become wrong ones."""

    def flip(columns: dict[str, np.ndarray]) -> np.ndarray:
        hit = (columns["system"] == "plain") & (columns["condition"] != "clean")
        return hit & columns["correct"].astype(bool)

    second = changed(first, tmp_path / "second", flip)
    found = across(first, second)
    lines = {(line.system, line.place): line for line in found.lines if line.metric == "accuracy"}
    assert {system for system, _ in lines} == {"plain"}
    group, clean = lines["plain", "noise"], lines["plain", "clean"]
    assert (group.single, clean.single) == (False, True)
    assert group.after == 0
    assert group.difference == pytest.approx(-group.before)
    singles = [lines["plain", f"gaussian_noise-{severity}"] for severity in (1, 3)]
    assert group.before == pytest.approx(np.mean([line.before for line in singles]))
    assert (group.change, clean.change, clean.difference) == ("worse", "unclear", 0.0)
    assert group.low <= group.difference < group.high < 0


def test_the_command_breaks_a_users_build(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = changed(
        first, tmp_path / "second", lambda c: (c["system"] == "plain") & (c["condition"] == "clean")
    )
    page = tmp_path / "page.html"
    told = ["compare", str(first), str(second), "--html", str(page)]
    assert code(*told, "--fail-if", "accuracy < -1.0") == 1
    assert "broken: accuracy < -1.0: plain, clean: -" in capsys.readouterr().out
    assert "Broken:" in page.read_text()
    assert code(*told, "--fail-if", "accuracy > 50") == 0
    assert code(*told) == 0


def test_only_clear_differences_break_a_rule_that_says_so() -> None:
    line = Line("it", "clean", "none", "accuracy", True, 90, 88, -2, -5, 1, 0.4, "unclear", 1, "%")
    assert Rule.parse("accuracy < -1.0").broken_by([line]) == [line]
    assert Rule.parse("accuracy < -1.0 clearly").broken_by([line]) == []
    assert Rule.parse("accuracy < -2.0").broken_by([line]) == []
    with pytest.raises(ConfigError, match="no compared metric is called 'acuracy'"):
        Rule.parse("acuracy<-1").broken_by([line])


@pytest.mark.parametrize("text", ["", "accuracy", "accuracy <", "accuracy <= 1", "accuracy < x", "< 1"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no rule"):
        Rule.parse(text)


def test_other_images_are_refused(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(first, second)
    summary = json.loads((second / "summary.json").read_text())
    summary["data"]["fingerprint"] = "0" * 64
    (second / "summary.json").write_text(json.dumps(summary))
    mark_complete(RunFolder(second))
    with pytest.raises(RunError, match="the runs saw other images"):
        across(first, second)


@pytest.mark.slow
def test_what_cannot_be_compared_is_named(first: Path, make_config: Make, tmp_path: Path) -> None:
    config = make_config(
        conditions={
            "clean": {"kind": "identity"},
            "noise": {"kind": "shot_noise", "severity": 1},
            "gaussian_noise-1": {"kind": "gaussian_noise", "severity": 2},
        }
    )
    second = run(config, root=tmp_path / "other", workers=1).path
    left = across(first, second, pairs={"plain": "restored"}).left_out
    assert "condition 'gaussian_noise-1': another corruption in each run" in left
    assert "condition 'gaussian_noise-3': only the first run has it" in left
    assert "condition 'noise': only the second run has it" in left
    with pytest.raises(ConfigError, match="no system 'nobody'"):
        across(first, second, pairs={"plain": "nobody"})


def test_a_folder_without_a_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("compare", str(tmp_path), str(tmp_path)) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_figures_that_were_changed_behind_the_runs_back_are_refused(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(first, second)
    with (second / "results.parquet").open("ab") as file:
        file.write(b"0")
    with pytest.raises(RunError, match=r"results\.parquet: is damaged"):
        across(first, second)
