"""Images that training cannot use are counted on the card and named: on the terminal and in the run folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from training_toy import recipe

from clearsight.data.contract.errors import ConfigError
from clearsight.data.media.images import encode_png
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.loop import SKIPPED, train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, name in enumerate(("a", "b")):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(16):
            pixels = np.random.Generator(np.random.Philox(key=number + 50 * label)).integers(
                0, 256, (24, 24, 3)
            )
            data = encode_png(pixels.astype(np.uint8))
            damaged = name == "a" and number % 4 == 1
            (tmp_path / "in" / name / f"{number:02d}.png").write_bytes(data[:60] if damaged else data)
    return tmp_path / "in"


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_damaged_images_are_counted_and_named(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.yaml").write_text(recipe(kind, folder))
    with pytest.raises(SystemExit) as done:
        main(["train", str(tmp_path / "t.yaml"), "--out", str(tmp_path / "runs"), "-q"])
    assert not done.value.code
    said = capsys.readouterr().out.replace("\n", " ")
    for number in (1, 5, 9, 13):
        assert f"skipped a/{number:02d}.png" in said
    (run,) = (tmp_path / "runs").iterdir()
    named = json.loads((run / SKIPPED).read_text())
    assert sum(map(len, named.values())) == 4
    assert all("is damaged" in image["reason"] for images in named.values() for image in images)
    card = json.loads(next(run.glob("weights/*/card.json")).read_text())
    assert sum(card["data"]["skipped"].values()) == 4
    assert sum(card["data"]["images"].values()) == 28


def test_a_single_class_is_refused_before_training(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "b").iterdir():
        path.unlink()
    (folder / "b").rmdir()
    config = TrainConfig.model_validate(
        {
            "task": "train",
            "name": "t",
            "data": {"kind": "folder", "path": str(folder)},
            "model": {"kind": "small_convnet", "width": 4},
            "epochs": 1,
        }
    )
    with pytest.raises(ConfigError, match="needs two classes or more, the data has 1"):
        train(config, folder=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "weights").exists()
