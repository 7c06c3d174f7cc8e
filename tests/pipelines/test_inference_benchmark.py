"""The benchmark of inference: what its figures mean, and that it runs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearsight.data.contract.errors import RunError

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("inference")


@pytest.fixture
def parts(benchmark: Any) -> Any:
    return importlib.import_module("_inference")


def test_agreement(benchmark: Any) -> None:
    expected = np.array([[10.0, 0.0], [0.0, 4.0]])
    found = benchmark.agreement(expected + np.array([[0.0, 0.5], [4.5, 0.0]]), expected)
    assert (found.same, found.of, found.off) == (1, 2, 0.45)
    assert found.wrong
    assert not benchmark.agreement(expected + 1e-6, expected).wrong
    images = np.full((2, 3, 4, 4), 0.5)
    found = benchmark.agreement(images + 0.25, images)
    assert (found.same, found.off, found.wrong) == (None, 0.25, True)


def test_ratios_are_relative_to_the_faster_layout(benchmark: Any) -> None:
    base = np.linspace(1.0, 2.0, 11)
    times = {"a": 4 * base, "b": 2 * base, "fp32": base, "int8": base / 2}
    agrees = {name: benchmark.Agreement(8, 8, 0.0) for name in times}
    found = benchmark.rows("toy", 32, 4, times, agrees, ("a", "b"), "fp32")
    assert [row.speed.ratio for row in found] == [0.5, 1.0, 2.0, 4.0]
    assert [row.over_fp32 for row in found] == [0.25, 0.5, 1.0, 2.0]
    assert found[2].speed.interval == (2.0, 2.0)
    lines = benchmark.markdown(found).splitlines()
    assert len(lines) == 6
    assert lines[4].startswith(
        "| 32x32 | 4 | fp32 | 1.50 | 1.95 | 2666.7 | 2.00x [2.00, 2.00] | 1.00x | 8 of 8 "
    )
    without = benchmark.rows("toy", 32, 4, {"a": base}, agrees, ("a", "b"), "fp32")
    assert without[0].over_fp32 is None


def test_outputs_are_compared_in_batches(benchmark: Any, parts: Any) -> None:
    seen: list[int] = []

    def run(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x.mean((2, 3))

    ready = {name: parts.Ready(run, lambda x: x) for name in ("one", "other")}
    found = benchmark.compare(ready, torch.rand(8, 3, 4, 4), 4)
    assert seen == [4, 4, 4, 4]
    assert (found["other"].same, found["other"].off) == (8, 0.0)


def test_reasons(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts.line(ValueError("\n  first \n second")) == "first"
    assert parts.line(ValueError()) == "ValueError"
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(parts.shutil, "which", lambda _: None)
    with pytest.raises(RunError, match=r"no C\+\+ compiler"):
        parts._compiled(None, (1, 3, 8, 8))


@pytest.mark.slow
def test_a_run(benchmark: Any, parts: Any, monkeypatch: Any, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "has_compiler", lambda: False)
    monkeypatch.setattr(parts, "CALIBRATION", 4)
    monkeypatch.setattr(benchmark, "BATCHES", {1: 64})
    out = tmp_path / "figures.json"
    told = ["--sizes", "32", "--threads", "1", "--turns", "3", "--seconds", "0", "--systems", "classifier"]
    assert benchmark.main([*told, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "## signs-standard-v1 alone" in printed
    assert "torch.compile at 32x32, batch 1: there is no C++ compiler" in printed
    rows = json.loads(out.read_text())["rows"]
    names = {row["contestant"] for row in rows}
    assert {parts.EAGER, parts.LAST, parts.FP32, parts.INT8} <= names
    for row in rows:
        assert row["agreement"]["same"] == 8 or row["contestant"] == parts.INT8
        assert row["speed"]["calls"] == 3
