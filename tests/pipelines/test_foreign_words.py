"""Names from elsewhere steer nothing: no terminal, no spreadsheet, no file that is overwritten."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_onnx import tiny

from clearsight.data.contract.text import FORMULA, cell, from_cell, shown, shown_lines
from clearsight.data.media.images import encode_png
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.inference.table import _text

PLAIN = encode_png(np.full((16, 16, 3), 90, np.uint8))
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([*map(str, words)])
    return int(done.value.code or 0)


@settings(deadline=None)
@given(st.text())
def test_what_is_shown_controls_nothing_and_can_be_encoded(text: str) -> None:
    safe = shown(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in safe)
    safe.encode()
    assert shown(safe) == safe
    assert "\n" not in safe
    assert shown_lines(text).count("\n") == text.count("\n")


@settings(deadline=None)
@given(st.text())
def test_cells_compute_nothing_and_can_be_read_back(text: str) -> None:
    assert from_cell(cell(text)) == text
    assert not cell(text).startswith(FORMULA[:-1])


FOREIGN = st.text() | st.builds(
    "".join, st.lists(st.sampled_from([*FORMULA, "\r", "\n", ",", '"', "a"]), max_size=6)
)


@settings(deadline=None)
@given(st.lists(st.tuples(FOREIGN, FOREIGN), max_size=4))
@pytest.mark.slow
def test_a_name_stays_one_cell_of_one_row(names: list[tuple[str, str]]) -> None:
    """Every reader takes a bare carriage return for the end of a row, unless it is quoted."""
    made = _text([[cell(first), cell(second)] for first, second in names])
    rows = list(csv.reader(io.StringIO(made.decode("utf-8", "surrogateescape"), newline="")))
    assert [tuple(map(from_cell, row)) for row in rows] == names
    assert not any(each.startswith(FORMULA[:-1]) for row in rows for each in row)


def odd(folder: Path) -> Path:
    folder.mkdir()
    for name in (f"a{ESCAPE}.png", "=1+1.png", "@x.png", "[red]m.png"):
        (folder / name).write_bytes(PLAIN)
    (folder / f"broken{ESCAPE}.png").write_bytes(b"no image")
    (folder / f"passed{ESCAPE}.txt").write_text("x")
    return folder


def restore(folder: Path, out: Path) -> int:
    return command("restore", folder, out, "--with", "median")


def infer(folder: Path, out: Path) -> int:
    return command("infer", tiny(out.with_suffix(".onnx")), folder, "--provider", "cpu")


def corrupt(folder: Path, out: Path) -> int:
    return command("corrupt", folder, out, "--set", "contrast", "--severity", 1, "--workers", 1)


def check(folder: Path, out: Path) -> int:
    path = out.with_name("c.yaml")
    path.write_text('task: evaluate\nname: "x\\e[31m"\n"\\e]0;k\\a": 1\n', encoding="utf-8")
    return command("check", path)


def missing(folder: Path, out: Path) -> int:
    return command("report", out / ESCAPE)


@pytest.mark.parametrize("call", [restore, infer, corrupt, check, missing])
def test_no_escape_reaches_a_terminal(
    call: Callable[[Path, Path], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(odd(tmp_path / "in"), tmp_path / "out")
    said = "".join(capsys.readouterr())
    assert "\x1b]" not in said
    assert "\x1b[31m" not in said
    assert "\x07" not in said
    assert call is check or "\\x1b" in said


def test_a_console_reads_no_markup_in_names(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("[bold]head")
    table.add_row(f"[/] {ESCAPE}")
    console().print(table)
    said = capsys.readouterr().out
    assert "[bold]head" in said
    assert "[/] \\x1b" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_table_holds_names_and_classes_that_compute_nothing(tmp_path: Path) -> None:
    model = tiny(tmp_path / "m.onnx")
    folder = odd(tmp_path / "in")
    words = ("infer", model, folder, "--provider", "cpu", "--csv", tmp_path / "t.csv", "-q")
    assert command(*words) == 1
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    names = {row["path"] for row in rows}
    assert {"'=1+1.png", "'@x.png"} < names
    assert not any(str(value).startswith(FORMULA[:-1]) for row in rows for value in row.values())
    # A continued table knows the names again.
    before = (tmp_path / "t.csv").read_bytes()
    command(*words, "--resume")
    assert (tmp_path / "t.csv").read_bytes() == before


@pytest.mark.parametrize("victim", ["model", "input", "link", "hard link", "restored"])
def test_a_table_overwrites_no_input(victim: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny(tmp_path / "m.onnx", gives=("logits", "image"))
    image = tmp_path / "x.png"
    image.write_bytes(PLAIN)
    target = {"model": model, "input": image, "restored": tmp_path / "out" / "x.png"}.get(
        victim, tmp_path / "t"
    )
    if victim == "link":
        target.symlink_to(image)
    elif victim == "hard link":
        target.hardlink_to(image)
    before = model.read_bytes()
    words = ["infer", model, image, "--provider", "cpu", "--csv", target, "--fresh"]
    assert command(*words, "--save-restored", tmp_path / "out") == 2
    assert "would be overwritten, and it is an input" in capsys.readouterr().err
    assert (model.read_bytes(), image.read_bytes()) == (before, PLAIN)


def test_figures_of_a_bench_overwrite_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny(tmp_path / "m.onnx")
    before = model.read_bytes()
    assert command("bench", model, "--sizes", "16", "--json", model) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert model.read_bytes() == before
