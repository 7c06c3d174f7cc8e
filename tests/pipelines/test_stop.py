"""Conditions that end when their accuracies are known well enough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from toy_images import write_images

from clearsight.data.contract.errors import ConfigError
from clearsight.data.sequential import repeated_interval
from clearsight.pipelines.analysis.across import across
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.evaluation.unfinished import so_far

Make = Callable[..., Evaluate]
STOP = {"half_width": 16, "least": 20}
HARD = {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "severity": 5}}


@pytest.fixture
def many(make_config: Make, tmp_path: Path) -> Make:
    """Make configs over 120 images; the toy is right on all clean ones, and on a part of the weak ones."""
    folder = write_images(tmp_path / "many", 120, (20, 24), ("blue", "green", "red"), digits=3)

    def make(**changes: Any) -> Evaluate:
        return make_config(**{"data": {"kind": "folder", "path": str(folder)}, "stop": STOP} | changes)

    return make


def cells_of(folder: Path) -> list[dict[str, Any]]:
    summary: list[dict[str, Any]] = json.loads((folder / "summary.json").read_text())["cells"]
    return summary


@pytest.mark.slow
def test_a_condition_ends_where_every_accuracy_is_known_and_says_so(many: Make, tmp_path: Path) -> None:
    folder = run(many(), root=tmp_path / "runs", workers=1).path
    summary = json.loads((folder / "summary.json").read_text())
    looks = summary["stop"]["looks"]
    assert looks[-1] == 120
    assert summary["stop"]["half_width"] == 16
    seen: dict[str, set[int]] = {}
    for cell in summary["cells"]:
        accuracy = cell["metrics"]["accuracy"]
        right = round(accuracy["value"] * cell["n"])
        assert (accuracy["low"], accuracy["high"]) == pytest.approx(
            repeated_interval(right, cell["n"], len(looks))
        )
        assert accuracy["method"] == f"clopper-pearson, {len(looks)} looks"
        assert cell["n"] in looks
        assert cell["n"] == looks[-1] or (accuracy["high"] - accuracy["low"]) / 2 <= 0.16
        seen.setdefault(cell["condition"], set()).add(cell["n"])
    assert all(len(counts) == 1 for counts in seen.values()), "systems of a condition lost their pairs"
    assert seen["clean"] == {looks[0]}
    rows = parquet.read_table(folder / "results.parquet")
    assert rows.num_rows == sum(cell["n"] for cell in summary["cells"]) < 6 * 120
    assert "A condition ended when" in (folder / "report.html").read_text()
    chunks = len(list(folder.glob("cells/*/chunk-*.parquet")))
    assert chunks == sum(-(-cell["n"] // 8) for cell in summary["cells"]), "more was measured than was needed"


@pytest.mark.slow
def test_a_killed_run_ends_where_an_undisturbed_one_does(many: Make, tmp_path: Path) -> None:
    folder = run(many(), root=tmp_path / "runs", workers=1).path
    before = {name: (folder / name).read_bytes() for name in ("results.parquet", "summary.csv")}
    for path in sorted(folder.glob("cells/*/seal-*.json"))[::3]:
        path.unlink()
    for name in (*before, "summary.json", "DONE"):
        (folder / name).unlink()
    half = so_far(folder_of(folder))
    assert len(half.summary.cells) < half.cells == 6
    assert run(many(), root=tmp_path / "runs", workers=1).path == folder
    assert {name: (folder / name).read_bytes() for name in before} == before
    done = (folder / "DONE").stat().st_mtime_ns
    run(many(), root=tmp_path / "runs", workers=1)
    assert (folder / "DONE").stat().st_mtime_ns == done, "a complete run was finished again"


@pytest.mark.slow
def test_chunks_beyond_the_end_change_nothing(many: Make, tmp_path: Path) -> None:
    """Processes that would have to wait measure ahead; what they made is not read."""
    first = run(many(), root=tmp_path / "first", workers=1).path
    long = run(many(stop={"half_width": 0.1, "least": 20}), root=tmp_path / "long", workers=1).path
    assert {cell["n"] for cell in cells_of(long)} == {120}
    ahead = tmp_path / "ahead"
    shutil.copytree(tmp_path / "first", ahead)
    (folder,) = ahead.iterdir()
    (folder / "DONE").unlink()
    for cell in folder.glob("cells/*"):
        shutil.copytree(long / "cells" / cell.name, cell, dirs_exist_ok=True)
    assert run(many(), root=ahead, workers=1).path == folder
    assert (folder / "results.parquet").read_bytes() == (first / "results.parquet").read_bytes()


def test_images_come_in_random_order(many: Make, tmp_path: Path) -> None:
    rows = parquet.read_table(run(many(), root=tmp_path / "runs", workers=1).path / "results.parquet")
    labels = rows.column("label").to_pylist()[:20]
    assert len(set(labels)) == 3
    assert labels != sorted(labels)
    with pytest.raises(ValueError, match="random order"):
        many(data={"kind": "folder", "path": str(tmp_path / "many"), "order": "by_class"})


def test_without_a_classifier_or_labels_it_is_refused(many: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="system 'median' has no accuracy"):
        run(many(systems={"median": ["median"]}, compare=None), root=tmp_path / "runs", workers=1)


@pytest.mark.slow
def test_two_runs_that_ended_at_other_places_are_compared_on_what_both_saw(
    many: Make, tmp_path: Path
) -> None:
    first = run(many(), root=tmp_path / "runs", workers=1).path
    other = many(stop={"half_width": 9, "least": 40}, systems={"plain": ["classify"]})
    found = across(first, run(other, root=tmp_path / "runs", workers=1).path)
    assert {line.system for line in found.lines} | {line.split(":")[0] for line in found.left_out}


def test_no_stop_changes_no_key(make_config: Make) -> None:
    assert "stop" not in make_config().identity()
    assert make_config(stop=STOP).digest() != make_config().digest()


def folder_of(path: Path) -> Any:
    from clearsight.data.contract.run_folder import RunFolder

    return RunFolder(path)
