"""A disk that takes no more: every command ends with one clear line, and calls nothing finished that is not."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from kills import RUN, TRAIN
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.app import main

SMALL_RUN = RUN | {
    "chunk": 8,
    "data": {"kind": "signs", "count": 17, "size": 32},
    "measure": None,
    "attacks": None,
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
}
LIMITS = (0, 100, 1000, 4000)
"""Bytes that a file may have: the limit that a process can be given stands in for the disk."""


@contextmanager
def room(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the commands read."""
    tmp_path = tmp_path_factory.mktemp("inputs")
    few = {key: value for key, value in SMALL_RUN.items() if value is not None}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(few))
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
    return tmp_path


@pytest.fixture
def home(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in inputs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", COMMANDS)
def test_one_clear_line(name: str, limit: int, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with room(limit), pytest.raises(SystemExit) as done:
            main([*COMMANDS[name].split(), *(["--quiet"] if name != "schema" else [])])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = capsys.readouterr()
    assert done.value.code, said
    assert "Traceback" not in said.err
    lines = [line for line in said.err.splitlines() if not line.startswith("failed ")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    assert any(
        word in lines[0] for word in ("File too large", "could not be used", "could be written", "cannot")
    )
    assert not list(home.glob("runs/*/DONE"))
    assert not list(home.glob("c/manifest.json"))
    assert not list(home.glob("restored/film.*"))
    assert not list(home.glob("images/film.*"))
    assert "1 restored" not in said.out
