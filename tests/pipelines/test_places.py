"""Where results go: ``~`` is understood, and what cannot be written is one clear line before any work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clearsight.data.contract.errors import RunError
from clearsight.data.home import expanded, writable_folder
from clearsight.data.media.images import encode_png
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.restoring.video import restore_video


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "x.png").write_bytes(encode_png(np.full((32, 32, 3), 90, np.uint8)))
    return tmp_path / "in"


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    return int(done.value.code or 0)


@pytest.mark.parametrize("kind", ["file", "below a file", "not allowed"])
def test_a_folder_that_takes_no_files_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    place = {"file": tmp_path / "f", "below a file": tmp_path / "f" / "x", "not allowed": Path("/proc/x")}[
        kind
    ]
    with pytest.raises(RunError, match=r"results cannot be written there: .*; choose another folder"):
        writable_folder(place)


@pytest.mark.parametrize("command", ["corrupt", "restore", "schema", "train", "export", "run", "audit"])
def test_every_command_says_so_in_one_line(
    command: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "taken"
    out.write_text("x")
    words: dict[str, list[object]] = {
        "corrupt": ["corrupt", images, out, "--set", "gaussian_noise", "--severity", "1", "-q"],
        "restore": ["restore", images, out / "below", "--with", "median", "-q"],
        "schema": ["schema", "--out", out],
        "train": ["train", "signs-standard", "--minutes", "1", "--out", out, "-q"],
        "export": ["export", "quickstart", "-o", out, "--system", "plain", "-q"],
        "run": ["run", "quickstart", "--out", out, "-q"],
        "audit": ["audit", "quickstart", "--out", out, "-q"],
    }
    assert call(*words[command]) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "results cannot be written there" in said[0]
    assert out.read_text() == "x"


def test_the_home_folder_is_found_behind_an_option(images: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clearsight", "schema", "train", "--out=~/schemas"],
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "schemas" / "train.json").is_file()
    assert not (tmp_path / "~").exists()


def test_environment_variables_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SETS", str(tmp_path))
    assert expanded("$SETS/x") == tmp_path / "x"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/x") == tmp_path / "x"


def test_a_video_that_lost_frames_is_not_moved_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 32))
    for number in range(12):
        writer.write(np.full((32, 32, 3), 20 * number, np.uint8))
    writer.release()

    class Full:
        """A writer on a disk that fills up: like OpenCV's, it says nothing."""

        def __init__(self, *given: object) -> None:
            self.true, self.left = original(*given), 5

        def __getattr__(self, name: str) -> object:
            return getattr(self.true, name)

        def write(self, frame: np.ndarray) -> None:
            self.left -= 1
            if self.left >= 0:
                self.true.write(frame)

    original = cv2.VideoWriter
    whole = restore_video(tmp_path / "in.avi", tmp_path / "whole.avi", lambda frame: frame, lambda *_: None)
    assert whole == ("sound is not kept",)
    Full.fourcc = original.fourcc  # type: ignore[attr-defined]
    monkeypatch.setattr(cv2, "VideoWriter", Full)
    with pytest.raises(RunError, match="only 5 of 12 frames could be written; check the free space"):
        restore_video(tmp_path / "in.avi", tmp_path / "out.avi", lambda frame: frame, lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.avi", "whole.avi"]
