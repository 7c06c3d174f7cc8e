"""``clearsight report`` on a run that is not finished says how far it came, and shows what there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.cli.run import report_command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.evaluation.unfinished import so_far
from clearsight.pipelines.runs.sealed import read_summary
from clearsight.pipelines.runs.summary import parse_summary

PGD = {"kind": "pgd", "eps": "8/255", "steps": 2}


@pytest.fixture
def finished(make_config: Callable[..., Evaluate], tmp_path: Path) -> RunFolder:
    config = make_config(
        attacks={"none": {"kind": "none"}, "pgd": PGD},
        measure=[{"conditions": ["clean", "noise"], "attacks": ["none", "pgd"]}],
        chunk=15,
    )
    return run(config, root=tmp_path / "runs", workers=1)


def cells(folder: RunFolder) -> list[Path]:
    return sorted(folder.cells.iterdir())


@pytest.mark.slow
def test_every_number_of_finished_cells_is_shown(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {(c.system, c.condition, c.attack): c for c in parse_summary(read_summary(finished)).cells}
    assert len(whole) == 12
    finished.done.unlink()
    finished.summary.unlink()
    finished.report.unlink()
    for left in range(12, -1, -1):
        found = so_far(finished)
        assert (len(found.summary.cells), found.cells) == (left, 12)
        assert (found.chunks, found.all_chunks) == (2 * left, 24)
        assert not found.summary.complete
        for cell in found.summary.cells:
            assert cell.metrics == whole[cell.system, cell.condition, cell.attack].metrics
        for markdown in (True, False):
            report_command(finished.path, markdown=markdown)
            out, said = capsys.readouterr()
            assert f"unfinished: {left} of 12 cells are measured ({2 * left} of 24 chunks)" in said
            assert bool(out) == bool(left)
        if left:
            assert f"{left} of 12 cells are measured so far" in finished.report.read_text()
            shutil.rmtree(cells(finished)[0])
    assert not finished.summary.exists()


@pytest.mark.slow
def test_chunks_of_unfinished_cells_and_damage_count_for_nothing(finished: RunFolder) -> None:
    finished.done.unlink()
    one, two, *_ = cells(finished)
    (one / "seal-00001.json").unlink()
    (two / "chunk-00000.parquet").write_bytes(b"damaged")
    found = so_far(finished)
    assert (len(found.summary.cells), found.chunks) == (10, 22)


@pytest.mark.parametrize(
    "content", ["", "7", "[]", "{}", '{"cells": 3}', '{"cells": [], "chunks": "x", "config": 1}']
)
@pytest.mark.slow
def test_what_is_no_run_is_refused(finished: RunFolder, content: str) -> None:
    finished.done.unlink()
    finished.resolved.write_text(content)
    with pytest.raises(RunError, match="resolved.json: "):
        report_command(finished.path, markdown=False)
    with pytest.raises(RunError, match="is not the folder of a finished run"):
        report_command(finished.cells, markdown=False)
