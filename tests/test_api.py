"""`import clearsight`: what it exports, what it does not import, and that each function does its job."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import clearsight
from clearsight.data.contract.errors import ConfigError, DataError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.gaussian_noise import GaussianNoise
from clearsight.data.corruptions.identity import Identity
from clearsight.data.sources.signs import Signs
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.restore.classical.median import Median

HEAVY = {"torch", "cv2", "numpy", "pyarrow", "pydantic", "onnxruntime"}


def photo(path: Path, size: tuple[int, int] = (40, 32)) -> Path:
    pixels = Rng(3).at("photo", path.name).numpy().integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import clearsight, sys; dir(clearsight); print(' '.join({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stdout.split())


def test_every_public_name_is_there_and_typed() -> None:
    assert set(clearsight.__all__) <= set(dir(clearsight))
    for name in clearsight.__all__:
        assert getattr(clearsight, name) is not None
    tree = ast.parse(Path(clearsight.__file__).read_text(encoding="utf-8"))
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    names = {a.asname for n in typed.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert names | {"__version__"} == set(clearsight.__all__)
    for node in typed.body:
        if isinstance(node, ast.ImportFrom):
            (alias,) = node.names
            assert clearsight._HOME[alias.name] == node.module


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'evaluat'"):
        clearsight.evaluat  # noqa: B018


@pytest.mark.slow
def test_a_run_is_made_and_opened_again(tmp_path: Path) -> None:
    classifier = SmallConvNet(weights="signs-standard-v1")
    report = clearsight.evaluate(
        Signs(split="test", count=17),
        {"plain": classifier, "median": clearsight.chain(Median(), classifier)},
        conditions=[Identity(), GaussianNoise(severity=3)],
        baseline="plain",
        root=tmp_path,
        workers=1,
    )
    again = clearsight.open_run(report.folder)
    assert again.summary == report.summary
    assert again.page.is_file()
    assert "median" in again.table()
    results = again.results()
    accuracy: list[Any] = [row for row in results if row["metric"] == "accuracy"]
    assert {(row["system"], row["condition"]) for row in accuracy} == {
        (system, condition) for system in ("plain", "median") for condition in ("clean", "gaussian_noise-3")
    }
    assert all(row["n"] == 17 and row["low"] <= row["value"] <= row["high"] for row in accuracy)
    assert again.rows().num_rows == 4 * 17


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not the folder of a finished run"):
        clearsight.open_run(tmp_path)


def test_images_are_restored_on_disk(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png", (24, 24))
    outcome = clearsight.restore_images(tmp_path, tmp_path / "out", ["median", "gamma"])
    assert (outcome.made, outcome.kept, outcome.failed) == (2, 0, [])
    with Image.open(tmp_path / "out" / "b.png") as image:
        assert image.size == (24, 24)
    assert clearsight.restore_images(tmp_path, tmp_path / "out", "median,gamma").kept == 2


def test_a_benchmark_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo(tmp_path / "in" / "a.png")
    written = clearsight.corrupt(tmp_path / "in", tmp_path / "out", ["fog", "snow"], severities=[1, 5])
    assert (written.images, written.corruptions, written.made) == (1, 4, 4)
    assert (tmp_path / "out" / "fog" / "5" / "a.png").is_file()
    with pytest.raises(DataError):
        clearsight.corrupt(tmp_path / "nowhere", tmp_path / "other")


def test_parts_are_loaded_by_weights_and_by_kind() -> None:
    x = torch.full((1, 3, 32, 32), 0.5)
    assert clearsight.load("denoise-color-v2", sigma="15/255")(x).shape == x.shape
    assert clearsight.load("median", size=5)(x).shape == x.shape
    assert clearsight.load("signs-standard-v1")(x).shape == (1, 17)
    with pytest.raises(ConfigError, match="denoise-color-v2"):
        clearsight.load("denoise-colour-v2")


@pytest.mark.slow
def test_a_system_is_exported_and_run_without_torch(tmp_path: Path) -> None:
    lines: list[str] = []
    classifier = SmallConvNet(classes=17, width=4, blocks=1)
    done = clearsight.export(classifier, tmp_path, name="signs", on_message=lines.append)
    session = clearsight.Session(done.path, provider="cpu")
    with Image.open(photo(tmp_path / "a.png")) as image:
        pixels = np.asarray(image)
    assert session.classify([pixels]).probabilities.shape == (1, 17)
    assert lines


@pytest.mark.slow
def test_training_takes_a_mapping_or_a_recipe(tmp_path: Path) -> None:
    config = {
        "name": "toy",
        "data": {"kind": "signs", "split": "train", "count": 170},
        "model": {"kind": "small_convnet", "width": 4, "blocks": 1},
        "batch": 32,
        "epochs": 1,
    }
    trained = clearsight.train(config, folder=tmp_path / "run", device="cpu")
    assert set(trained.scores) == {"validation"}
    assert clearsight.load(str(trained.weights.folder)).classes == 17
    with pytest.raises(ConfigError, match="goes with a path"):
        clearsight.train(config, changes={"epochs": 2})
    with pytest.raises(ConfigError, match="signs-standard"):
        clearsight.train("signs-standart")


def test_kinds_are_listed_by_group() -> None:
    groups = clearsight.list_kinds()
    assert clearsight.list_kinds("attacks") == groups["attacks"]
    assert "pgd" in groups["attacks"]
    assert all(isinstance(purpose, str) for kinds in groups.values() for purpose in kinds.values())
    with pytest.raises(ConfigError, match="attacks"):
        clearsight.list_kinds("attack")
