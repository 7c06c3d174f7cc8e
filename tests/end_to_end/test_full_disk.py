"""A disk that takes no more: every command ends with one clear line, and calls nothing finished that is not."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from kills import HOUSE, RUN, TRAIN
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.app import main

CLASSIFIER = {"kind": "small_convnet", "weights": "signs-standard-v1"}
SMALL_RUN = {key: RUN[key] for key in ("task", "name", "parts", "systems")} | {
    "chunk": 8,
    "data": {"kind": "signs", "count": 17, "size": 32},
    "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise"}},
    "compare": {"baseline": "plain"},
    "images": 1,
}
TUNE = {
    "task": "tune",
    "name": "full",
    "chunk": 17,
    "data": {"kind": "signs", "split": "train", "count": 34, "size": 32},
    "classifier": CLASSIFIER,
    "restorers": {"median": {"kind": "median"}},
    "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "impulse_noise"}},
    "first": 17,
    "finalists": 1,
}
COMMANDS = {
    "run": "run run.yaml --workers 1",
    "train": "train train.yaml --out trained",
    "corrupt": "corrupt photos c --set fog --workers 1",
    "corrupt-arrays": "corrupt labelled c --set fog --layout cifar_c --workers 1",
    "restore": "restore photos restored --with median",
    "restore-video": "restore film.avi restored --with median",
    "infer": "infer tiny.onnx photos --csv rows.csv",
    "infer-images": "infer tiny.onnx photos --csv rows.csv --save-restored images",
    "infer-video": "infer tiny.onnx film.avi --csv rows.csv --save-restored images",
    "schema": "schema --out schemas",
    "export": "export run.yaml --system median --out exported",
    "report": "report done",
    "report-into": "report done --markdown --into page.md",
    "compare": "compare done done --html compared.html",
    "audit": "audit run.yaml --system plain --take 4 --workers 1",
    "tune": "tune tune.yaml --workers 1",
    "advise": "advise photos --classifier tiny.onnx --take 12 --out advice.json",
    "sense": "sense photos --csv sensed.csv",
    "bench": "bench tiny.onnx --sizes 16 --seconds 0.1 --json times.json",
}
LOUD = ("schema", "report", "report-into", "compare", "bench")
"""Commands without progress, so without ``--quiet``."""
PROBE = 4096
"""Bytes that a command tries to write before it begins its work."""


@contextmanager
def room(limit: int) -> Iterator[None]:
    """Limit the bytes that a file may have: what a process can be given stands in for the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def call(words: str, limit: int = resource.RLIM_INFINITY) -> int:
    """Return the exit code of a command that writes files of so many bytes at most."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with room(limit), pytest.raises(SystemExit) as done:
            main([*words.split(), *(["--quiet"] if words.split()[0] not in LOUD else [])])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the commands read."""
    tmp_path = tmp_path_factory.mktemp("inputs")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(SMALL_RUN))
    (tmp_path / "tune.yaml").write_text(yaml.safe_dump(TUNE))
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(TRAIN | {"epochs": 1, "checks": 1}))
    frames = Rng(0).at("frames").numpy().integers(0, 256, (120, 64, 64, 3)).astype(np.uint8)
    for folder in ("photos", "labelled/a"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(120 if folder == "photos" else 3):
            Image.fromarray(frames[number]).save(tmp_path / folder / f"{number}.png")
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 64))
    for frame in frames[:30]:
        film.write(frame)
    film.release()
    tiny(tmp_path / "tiny.onnx", gives=("logits", "image"))
    assert call(f"run {tmp_path}/run.yaml --workers 1 --out {tmp_path}/made") == 0
    next((tmp_path / "made").iterdir()).rename(tmp_path / "done")
    (tmp_path / "made").rmdir()
    page = "# Figures\n" + "Words. " * 1000 + "\n<!-- measured: killed -->\n<!-- end of killed -->\n"
    (tmp_path / "page.md").write_text(page)
    return tmp_path


@pytest.fixture
def home(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the inputs, and work there."""
    shutil.copytree(inputs, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def files(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def refused(name: str, limit: int, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Call a command whose files do not fit, and see how it ends."""
    before = files(home)
    capsys.readouterr()
    code = call(COMMANDS[name], limit)
    said = capsys.readouterr()
    assert code in (1, 2), (limit, said)
    lines = [line for line in said.err.splitlines() if not line.startswith(("failed ", "note "))]
    assert len(lines) == 1, (limit, said.err)
    assert lines[0].startswith("error: ")
    reasons = ("File too large", "could not be used", "could be written", "cannot", "run again")
    assert any(reason in lines[0] for reason in reasons), (limit, lines[0])
    # The run inside an audit may be whole, and what the audit adds to it may not fit.
    assert name == "audit" or not list(home.glob("runs/*/DONE"))
    assert not list(home.glob("runs/*/best.yaml"))
    assert not list(home.glob("c/manifest.json"))
    assert not list(home.glob("restored/film.*"))
    assert not list(home.glob("images/film.*"))
    assert not list(home.glob("exported/*.json"))
    assert "1 restored" not in said.out
    after = files(home)
    assert {path: after.get(path) for path in before} == before, "an input or an earlier result is damaged"
    assert not [path for path in after if ".tmp" in path.name], "half a file is left"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.slow
def test_nothing_fits(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(name, 0, home, capsys)
    refused(name, PROBE - 1, home, capsys)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_one_file_does_not_fit(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest, the middle and the largest file that a command writes is once too large for the disk.

    With room again, the same command ends as it does in a fresh folder.
    """
    before = files(home)
    shutil.copytree(home, home.parent / "again")
    code = call(COMMANDS[name])
    assert code in ((0, 1) if name == "audit" else (0,)), capsys.readouterr()
    written = [content for path, content in files(home).items() if before.get(path) != content]
    # Some hold times and dates: nine tenths of a file fit in no file of its kind.
    limits = sorted({limit for content in written if (limit := int(0.9 * len(content))) >= PROBE})
    for limit in {limits[0], limits[len(limits) // 2], limits[-1]} if limits else ():
        shutil.rmtree(home)
        shutil.copytree(home.parent / "again", home)
        os.chdir(home)
        refused(name, limit, home, capsys)
    again = " --resume" if name.startswith("infer") and list(home.glob("rows.csv")) else ""
    assert call(COMMANDS[name] + again) == code


TERMINAL = {
    "list": "list",
    "show": "show median",
    "weights": "weights list",
    "verify": "weights verify signs-standard-v1",
    "check": "check run.yaml",
    "schema": "schema train",
    "report": "report done --markdown",
    "compare": "compare done done",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TERMINAL)
def test_standard_output_on_a_full_disk(name: str, home: Path) -> None:
    words = [sys.executable, "-m", "clearsight", *TERMINAL[name].split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words,
            env=os.environ | {"PYTHONPATH": str(HOUSE)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == ["error: No space left on device"]
