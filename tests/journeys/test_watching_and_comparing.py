"""Journeys: a run that is looked at from another terminal, killed and gone on with; two runs compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import done_by

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.text import duration
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.status import RunStatus, status_of


def test_a_run_is_watched_stopped_and_gone_on_with(
    make_config: Callable[..., Evaluate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, root = make_config(conditions={"clean": {"kind": "identity"}}), tmp_path / "runs"
    seen: list[tuple[int, RunStatus]] = []

    def watch(stage: str, done: int, total: int | None) -> None:
        if stage == "measure":
            (folder,) = root.iterdir()
            seen.append((done, status_of(folder)))
            if done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, root=root, workers=1, on_progress=watch)
    # Two systems see 30 images in chunks of 8.
    assert [(done, status.done, status.total, status.cells) for done, status in seen] == [
        (n, n, 8, 2) for n in (0, 2, 4)
    ]
    assert {status.state for _, status in seen} == {"running"}
    assert seen[0][1].left is None
    (folder,) = root.iterdir()
    stopped = status_of(folder)
    assert (stopped.state, stopped.done, stopped.cells_done) == ("stopped: by the user", 4, 0)
    with pytest.raises(SystemExit) as done:
        main(["status", str(folder)])
    assert not done.value.code
    shown = capsys.readouterr().out
    assert "stopped: by the user" in shown
    assert "4 of 8 chunks (50 %), 0 of 2 cells" in shown
    assert f"clearsight report {folder}" in shown

    run(config, root=root, workers=1)
    finished = status_of(folder)
    assert (finished.state, finished.done, finished.cells_done, finished.left) == ("complete", 8, 2, None)
    done_by("status", str(folder), "--follow")
    assert "complete\n8 of 8 chunks (100 %), 2 of 2 cells" in capsys.readouterr().out
    with pytest.raises(RunError, match="no folder of a run"):
        status_of(tmp_path)


def test_what_is_left_is_told_at_the_pace_so_far(tmp_path: Path) -> None:
    """Four chunks took 40 seconds and eight are to be done: 40 more. The log tells when the call began."""
    import json
    from datetime import datetime

    (tmp_path / "resolved.json").write_text(
        json.dumps({"config": {}, "cells": [{"key": "a" * 64}, {"key": "b" * 64}], "chunks": 5})
    )
    begun = datetime(2026, 1, 2, 3, 4, 5)
    (tmp_path / "log.txt").write_text(
        f"{begun:%Y-%m-%d %H:%M:%S},000 INFO 10 of 10 chunks to compute, 0 images skipped\n"
        "2026-01-02 03:00:00,000 ERROR stopped: by the user\n"
        f"{begun:%Y-%m-%d %H:%M:%S},000 INFO 8 of 10 chunks to compute, 0 images skipped\n"
    )
    for number in range(6):
        place = tmp_path / "cells" / ("a" * 16 if number < 5 else "b" * 16)
        place.mkdir(parents=True, exist_ok=True)
        seal = place / f"seal-{number % 5:05d}.json"
        seal.write_text("{}")
        when = begun.astimezone().timestamp() + 40
        os.utime(seal, (when, when))
    status = status_of(tmp_path)
    assert (status.done, status.total, status.cells_done, status.cells) == (6, 10, 1, 2)
    assert status.left == pytest.approx(40)
    assert status.state == "running or killed"
    assert [duration(s) for s in (12, 200, 7500)] == ["12 s", "3 min 20 s", "2 h 5 min"]


@pytest.mark.slow
def test_two_runs_are_compared_image_by_image(
    make_config: Callable[..., Evaluate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {
        "median": {"kind": "median"},
        "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
    }
    worse = parts | {"median": {"kind": "gamma", "gamma": 9.0}}
    folders = [
        run(
            make_config(parts=each, conditions={"clean": {"kind": "identity"}}),
            root=tmp_path / "runs",
            workers=1,
        ).path
        for each in (parts, worse)
    ]
    capsys.readouterr()
    done_by("compare", *map(str, folders))
    text = capsys.readouterr().out
    assert "restored" in text
    assert "plain" in text
    # Both change pixels, neither an answer: a rule on what is equal holds.
    done_by("compare", *map(str, folders), "--fail-if", "accuracy < -1.0")
    assert "holds: accuracy < -1.0" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["compare", *map(str, folders), "--fail-if", "psnr < -1.0"])
    assert done.value.code == 1
