"""Journey: a classifier trained on one's own folder of photographs, shown, measured; a recipe with one's own images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, done_by
from PIL import Image

import clearsight
from clearsight.data.contract.rng import Rng


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty photographs of each of two fruits, of many sizes, that differ by their colour."""
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("apples", "pears")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(30):
            pixels = Rng(1).at("fruit", label, i).numpy().integers(0, 140, (64 + i, 80, 3)).astype(np.uint8)
            pixels[:, :, label] += 90
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.jpg")
    return tmp_path / "photos"


@pytest.mark.slow
def test_a_folder_becomes_a_classifier_that_is_measured(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks("training.md", "Your own images"):
        if block.file:
            # Seconds instead of minutes.
            text = block.text.replace("minutes: 5", "epochs: 8").replace("size: 64", "size: 16")
            Path(block.file).write_text(text, encoding="utf-8")
        for words in block.commands:
            done_by(*words, *{"run": ("-q", "--workers", "1"), "train": ("-q",)}.get(words[0], ()))
    shown = capsys.readouterr().out
    assert "weights: weights/fruit-v1" in shown
    assert "use       {kind: small_convnet, weights: weights/fruit-v1}" in shown
    assert "2: apples, pears" in shown
    assert "not for others" in shown
    (folder,) = Path("runs").glob("2*_fruit_*")
    figures = {
        (row["system"], row["condition"]): float(row["value"])
        for row in clearsight.open_run(folder).results()
        if row["metric"] == "accuracy"
    }
    assert figures["plain", "clean"] > 0.9
    assert len(figures) == 4


@pytest.mark.slow
def test_a_recipe_with_other_images_says_nothing_of_its_own(photos: Path) -> None:
    data = "data={kind: folder, path: photos, size: 16}"
    changes = ("test=null", "minutes=null", "epochs=1", "batch=16", "checks=1", "model.width=4")
    done_by("train", "signs-standard", "-q", "--set", data, *(f"--set={change}" for change in changes))
    (card,) = Path("runs").glob("train_*/weights/signs-standard/card.json")
    told = json.loads(card.read_text(encoding="utf-8"))
    assert told["id"] == "signs-standard"
    assert told["limits"] == ""
    assert told["licence"] == "as the owner of the images says"
    assert "signs" not in str(told["data"])
