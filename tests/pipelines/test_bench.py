"""Exported files side by side: figures by hand, sizes, names, and what the command says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_onnx import tiny

from clearsight.data.contract.errors import ConfigError, RunError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.inference import bench
from clearsight.pipelines.inference.bench import Machine, labels, parse_sizes, speed, take_turns
from clearsight.pipelines.inference.session import Session

QUICK = ("--seconds", "0.1", "--provider", "cpu", "--threads", "1")


@pytest.fixture(autouse=True)
def few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MOST", 12)
    monkeypatch.setattr(take_turns, "__kwdefaults__", {**take_turns.__kwdefaults__, "most": 12})


def clearsight(*arguments: object) -> None:
    app(["bench", *map(str, arguments), *QUICK], standalone_mode=False)


class Clock:
    """Time passes only while a call runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[Any] = []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, seconds: float):
        def run() -> None:
            self.log.append(name)
            self.now += seconds

        return run


def test_every_contestant_has_its_turn_and_comes_behind_each_of_the_others() -> None:
    clock = Clock()
    calls = {name: clock.call(name, at / 1000) for at, name in enumerate("abc", 1)}
    times = take_turns(calls, seconds=0.0, least=12, clock=clock)
    assert clock.log[:9] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    turns = ["".join(clock.log[at : at + 3]) for at in range(9, len(clock.log), 3)]
    assert len(turns) == 12
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert {turn[at : at + 2] for turn in turns for at in (0, 1)} == {"ab", "ac", "ba", "bc", "ca", "cb"}
    for at, name in enumerate("abc", 1):
        np.testing.assert_allclose(times[name], [at] * 12)


def test_turns_go_on_until_the_time_is_spent_or_there_are_enough() -> None:
    clock = Clock()
    calls = {"a": clock.call("a", 0.25), "b": clock.call("b", 0.75)}
    assert len(take_turns(calls, seconds=3.0, least=2, most=50, clock=clock)["a"]) == 6
    assert len(take_turns(calls, seconds=300.0, least=2, most=7, clock=clock)["b"]) == 7
    assert take_turns({}, seconds=1.0, clock=clock) == {}


def test_figures_by_hand() -> None:
    times = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    found = speed(times, 8, 2.0 * times, rng=Rng(0))
    assert (found.calls, found.p50) == (5, 3.0)
    assert found.p95 == pytest.approx(8.8)
    assert found.rate == pytest.approx(1000 * 40 / 20)
    # The turns are drawn together, so a slow moment that hit both leaves no flag.
    assert (found.ratio, found.interval) == (2.0, (2.0, 2.0))
    alone = speed(times, 1, rng=Rng(0))
    assert (alone.ratio, alone.interval) == (None, None)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1000.0), min_size=9, max_size=40), st.floats(0.1, 10.0))
@pytest.mark.slow
def test_the_interval_holds_the_ratio_of_the_extremes(values: list[float], factor: float) -> None:
    times = np.array(values)
    found = speed(times, 1, times[::-1] * factor, rng=Rng(1))
    assert found.interval is not None
    low, high = found.interval
    assert times.min() / times.max() * factor * 0.999 <= low <= high
    assert high <= times.max() / times.min() * factor * 1.001
    assert found.p50 <= found.p95


def test_sizes() -> None:
    assert parse_sizes("32, 64,640x480,32") == ((32, 32), (64, 64), (480, 640))


@pytest.mark.parametrize("text", ["", "32,", "abc", "0", "-4", "3.5", "4x4x4", "4x", "²"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size") as error:
        parse_sizes(text)
    assert error.value.where == "--sizes"


def test_labels_are_all_different() -> None:
    one, other = Path("a/m.onnx"), Path("b/m.onnx")
    assert labels([one, Path("n.onnx")]) == ("m.onnx", "n.onnx")
    assert labels([one, other]) == ("a/m.onnx", "b/m.onnx")
    assert labels([one, one, other]) == ("a/m.onnx (1)", "a/m.onnx (2)", "b/m.onnx")


@pytest.mark.parametrize(("load", "busy"), [(0.1, False), (1.0, False), (1.1, True)])
def test_a_busy_machine_is_said(load: float, busy: bool) -> None:
    machine = Machine("cpu", (), 4, "system", {}, load)
    assert bool(machine.warning) is busy


def test_this_machine() -> None:
    machine = bench.here()
    assert machine.processor
    assert machine.cores >= 1
    assert {"numpy"} < set(machine.versions)


def test_files_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = tiny(tmp_path / "free.onnx", gives=("logits", "image"))
    fixed = tiny(tmp_path / "fixed.onnx", dtype="uint8", layout="NHWC", height=16, width=16)
    figures = tmp_path / "figures.json"
    clearsight(free, fixed, free, "--sizes", "16,24", "--batch", 2, "--json", figures)
    printed = capsys.readouterr()
    assert "fixed.onnx takes images of 16x16 pixels only; 24x24 is left out" in printed.err
    assert "fixed.onnx: fp32, image -> blur -> means, on cpu" in printed.out
    assert "threads 1, load at the start" in printed.out
    told = json.loads(figures.read_text())
    first, again = f"{free} (1)", f"{free} (2)"
    assert set(told["files"]) == {first, again, "fixed.onnx"}
    assert told["files"][first]["providers"] == ["CPUExecutionProvider"]
    assert told["machine"]["cores"] >= 1
    assert told["threads"] == 1
    found = [(row["file"], row["width"]) for row in told["rows"]]
    assert found == [(first, 16), ("fixed.onnx", 16), (again, 16), (first, 24), (again, 24)]
    for row in told["rows"]:
        times = row["milliseconds"]
        assert len(times) == row["speed"]["calls"] <= 12
        assert row["batch"] == 2
        assert row["speed"]["p50"] == pytest.approx(np.median(times), abs=1e-3)
        assert row["speed"]["rate"] == pytest.approx(1000 * 2 * len(times) / sum(times), rel=0.05)
        low, high = row["speed"]["interval"]
        assert low <= row["speed"]["ratio"] <= high
    assert told["rows"][0]["speed"]["ratio"] == 1.0


def test_without_the_first_there_is_no_ratio(tmp_path: Path) -> None:
    paths = [tiny(tmp_path / "8.onnx", height=8, width=8), tiny(tmp_path / "free.onnx", minimum=10)]
    sessions = {path.name: Session(path, "cpu", 1) for path in paths}
    notes: list[str] = []
    (row,) = bench.measure(sessions, 12, 12, batch=1, seconds=0.0, note=notes.append)
    assert (row.file, row.speed.ratio) == ("free.onnx", None)
    assert len(notes) == 1
    assert bench.measure(sessions, 9, 9, batch=1, seconds=0.0, note=notes.append) == []


@pytest.mark.slow
def test_calls_that_make_no_sense(tmp_path: Path) -> None:
    fixed = tiny(tmp_path / "fixed.onnx", height=16, width=16)
    with pytest.raises(ConfigError, match=r"no file takes any.*16x16 pixels only"):
        clearsight(fixed, "--sizes", "8,24")
    with pytest.raises(ConfigError, match="no such file"):
        clearsight(fixed, tmp_path / "none.onnx", "--sizes", "16")
    with pytest.raises(ConfigError, match="unknown provider"):
        app(["bench", str(fixed), "--provider", "gpu"], standalone_mode=False)
    with pytest.raises(RunError, match="results cannot be written there: Is a directory"):
        clearsight(fixed, "--sizes", "16", "--json", tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"\x00\x01")
    with pytest.raises(WeightsError):
        clearsight(tmp_path / "broken.onnx", "--sizes", "16")


@pytest.mark.slow
def test_no_torch(tmp_path: Path) -> None:
    model = tiny(tmp_path / "model.onnx")
    code = (
        "import sys; from clearsight.pipelines.cli.app import app; "
        f"app(['bench', {str(model)!r}, '--sizes', '8', '--seconds', '0.1'], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model.onnx" in done.stdout
