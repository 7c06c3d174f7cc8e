"""Journey: a run in one terminal, looked at and stopped from another one, and gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pages import ROOT, done_by

from clearsight.pipelines.runs.status import status_of

NET = """
import time
import torch


class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.25)
        return x.mean((2, 3)) @ torch.eye(3, 17)
"""
CONFIG = """
task: evaluate
name: watched
chunk: 2
data: {kind: signs, split: test, count: 34, pixels: 16}
parts: {net: {kind: python, call: slow.py:Slow, classes: 17}}
systems: {plain: [net]}
conditions: {clean: {kind: identity}}
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_run_is_watched_and_stopped_from_another_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(NET)
    Path("my.yaml").write_text(CONFIG)
    running = subprocess.Popen(
        [sys.executable, "-m", "clearsight", "run", "my.yaml", "--quiet", "--workers", "1"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(1200):
            resolved = list(Path("runs").glob("*/resolved.json"))
            if resolved and status_of(resolved[0].parent).done:
                break
            assert running.poll() is None
            time.sleep(0.05)
        (folder,) = Path("runs").iterdir()
        done_by("status", str(folder))
        assert "of 17 chunks" in capsys.readouterr().out
        done_by("stop", str(folder))
        _, told = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode
    assert len(told.strip().splitlines()) == 1
    stopped = status_of(folder)
    assert stopped.state.startswith("stopped")
    assert 0 < stopped.done < 17
    done_by("run", "my.yaml", "--quiet", "--workers", "1")
    assert status_of(folder).state == "complete"
