"""Journey: a corruption and an attack of one's own, from functions in a file to figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import follow

import clearsight


@pytest.mark.slow
def test_own_corruptions_and_attacks_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow("own.md", "A corruption, an attack")
    (folder,) = (tmp_path / "runs").iterdir()
    report = clearsight.open_run(folder)
    accuracy = {
        (row["condition"], row["attack"]): float(row["value"])
        for row in report.results()
        if row["metric"] == "accuracy"
    }
    assert accuracy.keys() == {
        ("clean", "none"),
        ("python-1", "none"),
        ("python-5", "none"),
        ("dark", "none"),
        ("clean", "mine"),
    }
    assert accuracy["clean", "mine"] < accuracy["clean", "none"]
    assert accuracy["python-5", "none"] <= accuracy["python-1", "none"]
    rows = report.rows().to_pylist()
    attacked = [row for row in rows if row["attack"] == "mine" and row["backwards"]]
    assert attacked
    assert {row["backwards"] for row in attacked} == {3}
    assert max(row["linf"] for row in attacked) == pytest.approx(2 / 255, rel=1e-3)
    told = {
        row["name"]: (row["kind"], [step["kind"] for step in row["steps"]])
        for row in report.summary["conditions"]
    }
    # The page says what the user called it, not that it is Python.
    assert told["python-5"] == ("dust", [])
    assert told["dark"][1] == ["dark", "gaussian_noise"]
    page = report.page.read_text(encoding="utf-8")
    assert "dust, severity 5" in page
    assert "dark 3 then gaussian noise 2" in page
