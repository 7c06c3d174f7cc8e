"""Where results go: ``~`` is understood, and what cannot be written is one clear line before any work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_onnx import tiny

from clearsight.data.contract.errors import RunError
from clearsight.data.home import expanded, replace_file, writable_folder
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


@pytest.mark.parametrize(
    "command", ["corrupt", "restore", "schema", "train", "export", "run", "audit", "tune"]
)
def test_every_command_says_so_in_one_line(
    command: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "taken"
    out.write_text("x")
    tune = tmp_path / "tune.yaml"
    tune.write_text(
        "{task: tune, name: t, data: {kind: signs}, classifier: {kind: small_convnet, weights: signs-standard-v1},"
        " restorers: {median: {kind: median}}, conditions: {clean: {kind: identity}}}"
    )
    words: dict[str, list[object]] = {
        "corrupt": ["corrupt", images, out, "--set", "gaussian_noise", "--severity", "1", "-q"],
        "restore": ["restore", images, out / "below", "--with", "median", "-q"],
        "schema": ["schema", "--out", out],
        "train": ["train", "signs-standard", "--minutes", "1", "--out", out, "-q"],
        "export": ["export", "quickstart", "-o", out, "--system", "plain", "-q"],
        "run": ["run", "quickstart", "--out", out, "-q"],
        "audit": ["audit", "quickstart", "--out", out, "-q"],
        "tune": ["tune", tune, "--out", out, "-q"],
    }
    assert call(*words[command]) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "results cannot be written there" in said[0]
    assert out.read_text() == "x"


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    (tmp_path / "c.yaml").write_text(
        "{task: evaluate, name: places, data: {kind: signs, count: 17, pixels: 16},"
        " parts: {net: {kind: small_convnet, width: 4, classes: 17}}, systems: {plain: [net]},"
        " conditions: {clean: {kind: identity}}}"
    )
    assert call("run", tmp_path / "c.yaml", "--out", tmp_path / "runs", "--workers", 1, "-q") == 0
    return next((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("place", ["file", "folder", "pipe", "below a file", "not allowed", "input"])
@pytest.mark.parametrize("command", ["sense", "advise", "bench", "compare"])
@pytest.mark.slow
def test_a_file_of_results_is_seen_to_before_the_work(
    command: str,
    place: str,
    images: Path,
    ran: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line where it cannot be, and nothing that is no file of results is gone afterwards."""
    model = tiny(tmp_path / "m.onnx")
    (tmp_path / "f").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    own = {
        "sense": images / "a" / "x.png",
        "advise": model,
        "bench": model,
        "compare": ran / "results.parquet",
    }
    out = {
        "file": tmp_path / "f",
        "folder": images,
        "pipe": tmp_path / "pipe",
        "below a file": tmp_path / "f" / "x",
        "not allowed": Path("/proc/x"),
        "input": own[command],
    }[place]
    words: dict[str, list[object]] = {
        "sense": ["sense", images, "--csv", out, "-q"],
        "advise": ["advise", images / "a", "--classifier", model, "--out", out, "-q"],
        "bench": ["bench", model, "--sizes", "16", "--seconds", 0.1, "--json", out],
        "compare": ["compare", ran, ran, "--html", out],
    }
    before = {path: path.read_bytes() for path in (*images.rglob("*.png"), model, *ran.glob("*.*"))}
    capsys.readouterr()
    if place == "file":
        monkeypatch.chdir(tmp_path)
        assert call(*words[command]) in (0, 1)
        assert out.read_text() != "x"
        return
    assert call(*words[command]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == "", "it was seen after the work"
    (line,) = said.err.strip().splitlines()
    assert "results cannot be written there" in line or "would be overwritten, and it is an input" in line
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "pipe").is_fifo()


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """By no writer: a device or a pipe would be gone, and root's /dev/null with it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Is no regular file"):
        replace_file(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="Is no regular file"):
        replace_file(tmp_path / "link", b"x")


@pytest.mark.parametrize("command", ["sense", "advise", "bench", "corrupt", "restore", "infer"])
def test_the_home_folder_is_understood_by_every_option(
    command: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tiny(tmp_path / "m.onnx")
    words = {
        "sense": "sense ~/in --csv=~/out -q",
        "advise": "advise ~/in --classifier=~/m.onnx --out=~/out -q",
        "bench": "bench ~/m.onnx --sizes 16 --seconds 0.1 --json=~/out",
        "corrupt": "corrupt ~/in ~/out --set contrast --severity 1 --workers 1 -q",
        "restore": "restore ~/in ~/out --with median -q",
        "infer": "infer ~/m.onnx ~/in --csv=~/out -q",
    }
    # A classifier of three classes on two: where that ends, the place of the results was understood.
    assert call(*words[command].split()) in ((0,) if command != "advise" else (0, 2))
    assert command == "advise" or (tmp_path / "out").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
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
