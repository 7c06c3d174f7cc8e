"""Things left out without a word: every file that is not used is named once, by every command and on the card."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_onnx import tiny
from training_toy import recipe

from clearsight.data.media.images import encode_png
from clearsight.data.sources.files import Files
from clearsight.pipelines.api.images import corrupt
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.cli.console import tell_passed_over

REASONS = {
    "notes.txt": "end in '.txt'",
    "phone.HEIC": "end in '.HEIC'",
    "new.jxl": "end in '.jxl'",
    "README": "has no ending",
    "broken.png": "link to nothing",
    "linked": "link to a folder",
    ".cache": "hidden folder",
    "._a.png": "is hidden",
}
RUN = """
task: evaluate
name: c
data: {{kind: {kind}, path: {path}}}
parts: {{net: {{kind: small_convnet, width: 4, classes: 2}}}}
systems: {{plain: [net]}}
conditions: {{clean: {{kind: identity}}}}
"""


def image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((24, 24, 3), value, np.uint8)))


def clutter(folder: Path, elsewhere: Path) -> None:
    """Put one file of each kind that is passed over into a folder."""
    for name in ("notes.txt", "phone.HEIC", "new.jxl", "README"):
        (folder / name).write_text("no image")
    (folder / "broken.png").symlink_to("nowhere.png")
    image(elsewhere / "far.png", 7)
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    image(folder / ".cache" / "thumb.png", 7)
    image(folder / "._a.png", 7)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for at in range(8):
        image(tmp_path / "flat" / f"{at}.png", 20 * at)
    clutter(tmp_path / "flat", tmp_path / "elsewhere")
    return tmp_path / "flat"


@pytest.fixture
def classed(tmp_path: Path) -> Path:
    for at in range(12):
        image(tmp_path / "classed" / "ab"[at % 2] / f"{at}.png", 20 * at)
    clutter(tmp_path / "classed" / "a", tmp_path / "elsewhere")
    image(tmp_path / "classed" / "loose.png", 7)
    return tmp_path / "classed"


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as done:
        main([*map(str, words), "-q"])
    assert not done.value.code


def corrupt_flat(flat: Path, classed: Path, out: Path) -> None:
    # As a source: `clearsight corrupt` would take the linked folder for that of a class.
    made = corrupt(Files(path=str(flat)), out, "contrast", severities=[1])
    assert json.loads((out / "manifest.json").read_text())["passed_over"] == [
        vars(file) for file in made.passed_over
    ]
    tell_passed_over(lambda line: sys.stdout.write(f"{line}\n"), made.passed_over)


def named(said: str, prefix: str = "") -> None:
    """Every file is named once, with its reason."""
    lines = [line for line in said.splitlines() if line.startswith("passed over ")]
    for name, reason in REASONS.items():
        (line,) = [line for line in lines if line.startswith(f"passed over {prefix}{name}: ")]
        assert reason in line
    assert len(lines) == len(REASONS) + bool(prefix)
    if prefix:
        assert any(
            line == "passed over loose.png: lies beside the class folders, in no class" for line in lines
        )


def restore(flat: Path, classed: Path, out: Path) -> None:
    command("restore", flat, out, "--with", "median")


def infer(flat: Path, classed: Path, out: Path) -> None:
    command("infer", tiny(out.with_suffix(".onnx")), flat, "--provider", "cpu", "--csv", out)


@pytest.mark.parametrize("call", [restore, infer, corrupt_flat])
def test_files_of_a_flat_folder(
    call: Callable[[Path, Path, Path], None],
    flat: Path,
    classed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call(flat, classed, tmp_path / "out")
    said = capsys.readouterr()
    named(said.out + said.err)


def test_corrupt_names_what_lies_beside_classes(
    classed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("corrupt", classed, tmp_path / "out", "--set", "contrast", "--severity", 1, "--workers", 1)
    named(capsys.readouterr().out, "a/")
    assert len(list((tmp_path / "out" / "contrast").rglob("*.png"))) == 12


def test_run_names_it_and_its_report_does(
    classed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(RUN.format(kind="folder", path=classed))
    command("run", tmp_path / "c.yaml", "--out", tmp_path / "runs", "--workers", 1)
    named(capsys.readouterr().out, "a/")
    (run,) = (tmp_path / "runs").iterdir()
    files = json.loads((run / "summary.json").read_text())["data"]["passed_over"]
    assert len(files) == len(REASONS) + 1
    page = (run / "report.html").read_text()
    assert all(file["id"] in page for file in files)


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_training_names_it_and_counts_it_on_the_card(
    kind: str, flat: Path, classed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifies = kind == "folder"
    (tmp_path / "t.yaml").write_text(recipe(kind, classed if classifies else flat))
    command("train", tmp_path / "t.yaml", "--out", tmp_path / "runs")
    named(capsys.readouterr().out, "a/" if classifies else "")
    (run,) = (tmp_path / "runs").iterdir()
    card = json.loads(next(run.glob("weights/*/card.json")).read_text())
    assert card["data"]["passed_over"] == {"data": len(REASONS) + classifies}
    assert len(json.loads((run / "passed_over.json").read_text())["data"]) == len(REASONS) + classifies


def test_many_are_counted(flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(40):
        (flat / f"n{at}.csv").write_text("x")
    command("restore", flat, tmp_path / "out", "--with", "median")
    said = capsys.readouterr().out
    assert said.count("passed over ") == 20
    assert f"... and {40 + len(REASONS) - 20} more passed over" in said


@pytest.mark.parametrize("give", ["{}", "{}/**/*", "{}/*.heic"])
def test_where_nothing_is_left_the_error_says_what_was_there(
    give: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.heic").write_text("no image")
    with pytest.raises(SystemExit):
        main(["restore", give.format(tmp_path / "in"), str(tmp_path / "out"), "--with", "median"])
    assert (
        "1 passed over, the first: x.heic files that end in '.heic' are not read" in capsys.readouterr().err
    )


def test_what_a_glob_does_not_match_was_not_asked_for(
    flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("restore", flat / "[0-9].png", tmp_path / "out", "--with", "median")
    assert "passed over" not in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(
    flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (flat / "locked").mkdir(mode=0)
    command("restore", flat, tmp_path / "out", "--with", "median")
    (flat / "locked").chmod(0o700)
    assert "passed over locked: cannot be read: Permission denied" in capsys.readouterr().out


def test_results_inside_the_folder_are_no_input(
    flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        command("restore", flat, flat / "out", "--with", "median")
        said = capsys.readouterr().out
        named(said)
    assert "0 restored, 8 were there" in said
