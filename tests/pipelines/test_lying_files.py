"""Files that lie about themselves: descriptions, cards and partial downloads are believed only as far as they are true."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.deployed import KEY, Deployed, Input, Output
from clearsight.data.contract.errors import ClearsightError, ConfigError, RunError, WeightsError
from clearsight.data.home import replace_file
from clearsight.data.weights import CARD, MODEL, REQUIRED, digest, find, state
from clearsight.pipelines.inference.compute import Computer
from clearsight.pipelines.inference.inputs import arrived, wanted
from clearsight.pipelines.inference.session import Session
from clearsight.restore.learned.plug_and_play import PlugAndPlay
from clearsight.restore.ops.psf import GaussianKernel


def told_of(path: Path) -> dict[str, Any]:
    model = onnx.load(path)
    (entry,) = [each for each in model.metadata_props if each.key == KEY]
    return dict(json.loads(entry.value))


def retold(path: Path, told: Any) -> Path:
    """Give a file another description."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == KEY:
            entry.value = told if isinstance(told, str) else json.dumps(told)
    onnx.save(model, str(path))
    return path


FIELDS = [
    *(f"input.{field.name}" for field in dataclasses.fields(Input)),
    *(f"outputs.0.{field.name}" for field in dataclasses.fields(Output)),
    *(f"outputs.1.{field.name}" for field in dataclasses.fields(Output)),
    *(field.name for field in dataclasses.fields(Deployed)),
    "format",
]
ODD: list[Any] = [None, True, -1, 0, 7, 2**40, 10**400, 1.5, "", "x", [], ["x"], [1], {}, {"x": 1}, "=1+1"]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_any_type_is_true_or_refused(field: str, tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", gives=("logits", "image"))
    plain, image = told_of(path), np.full((1, 9, 8, 3), 100, np.uint8)
    for value in ODD:
        told = json.loads(json.dumps(plain))
        place, steps = told, field.split(".")
        for step in steps[:-1]:
            place = place[int(step) if step.isdecimal() else step]
        place[steps[-1]] = value
        session = None
        with suppress(ConfigError, RunError):
            session = Session(retold(path, told), "cpu", 1)
        if session is None:
            continue
        # What is taken works, and gives what it gave with the true description.
        assert session.classify(image).logits.shape == (1, 3)
        restored = session.restore(image)
        assert isinstance(restored, np.ndarray)
        assert restored.shape == image.shape


@pytest.mark.parametrize("text", ["", "[]", "null", "1", '"x"', "{", "[" * 5000, '{"format": 1}', "\ud800"])
def test_a_description_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = retold(tiny(tmp_path / "m.onnx"), text.encode(errors="replace").decode())
    with pytest.raises(ConfigError, match="its description is damaged"):
        Session(path, "cpu", 1)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"scale": 2}, "is described as"),
        ({"gives": "logits"}, "described as logits"),
        ({"scale": 0}, "scale is 0"),
        ({"multiple_of": 0}, "multiple_of is 0"),
        ({"halo": -1}, "halo is -1"),
    ],
)
def test_lies_about_images(lie: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", gives=("image",))
    told = told_of(path)
    told["outputs"][0] |= lie
    with pytest.raises(ConfigError, match=said):
        Session(retold(path, told), "cpu", 1)


@pytest.mark.parametrize("minimum", [5000, 0])
def test_a_least_size_that_makes_no_sense(minimum: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"minimum is {minimum}"):
        Session(tiny(tmp_path / "m.onnx", minimum=minimum), "cpu", 1)


@pytest.mark.parametrize(("halo", "true"), [(0, False), (1, True), (4, True)])
def test_tiles_are_compared_with_the_whole_before_they_are_used(
    halo: int, true: bool, tmp_path: Path
) -> None:
    session = Session(tiny(tmp_path / "m.onnx", gives=("image",), halo=halo), "cpu", 1)
    drawn = np.random.Generator(np.random.Philox(key=5)).integers(0, 256, (1100, 1000, 3)).astype(np.uint8)
    from clearsight.data.media.lossless import StoredImage

    want = wanted(session.deployed, None)
    (found,) = Computer(session, top=0, batch=None, images=True)([arrived("x", StoredImage(drawn), want)])
    if true:
        assert found.image is not None
        assert found.image.shape == drawn.shape
    else:
        assert "does not equal the whole" in str(found.error)


def card(folder: Path, **changes: Any) -> Path:
    """Write a weights folder: a file that is none, behind a card with its checksum."""
    folder.mkdir()
    replace_file(folder / MODEL, b"not a safetensors file")
    told = dict.fromkeys(REQUIRED, "") | {
        "id": "x",
        "spec": {"kind": "small_convnet", "classes": 3, "width": 4},
        "sha256": digest(folder / MODEL),
    }
    (folder / CARD).write_text(json.dumps(told | changes))
    return folder


def test_a_damaged_file_behind_a_valid_card(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is no whole safetensors file"):
        state(str(card(tmp_path / "w")))


@pytest.mark.parametrize("lie", ["prefix", "missing", "more", "shape", "one class", "other network"])
def test_tensors_that_are_not_those_of_the_card(lie: str, tmp_path: Path) -> None:
    """Whole, with a true checksum, and not what the card says: as from DataParallel, or cut by hand."""
    from clearsight.data.weights import save
    from clearsight.defend.classifiers.small_convnet import SmallConvNet
    from clearsight.defend.classifiers.wide_resnet import WideResNet

    spec = SmallConvNet(classes=3, width=4)
    tensors = dict(spec.network().state_dict())
    told = spec.model_dump(mode="json", exclude={"weights"})
    first = next(iter(tensors))
    if lie == "prefix":
        tensors = {f"module.{name}": value for name, value in tensors.items()}
    elif lie == "missing":
        del tensors[first]
    elif lie == "more":
        tensors["another"] = tensors[first].clone()
    elif lie == "shape":
        tensors[first] = tensors[first][:1].contiguous()
    elif lie == "one class":
        told["classes"] = 1
    else:
        told = WideResNet(classes=3, depth=10, widen=1).model_dump(mode="json", exclude={"weights"})
    about = dict.fromkeys(REQUIRED, "") | {"id": "x", "spec": told}
    save(tmp_path / "w", tensors, {name: value for name, value in about.items() if name != "sha256"})
    with pytest.raises(ClearsightError) as error:
        SmallConvNet(weights=str(tmp_path / "w")).build()
    assert "\n" not in str(error.value)
    assert str(tmp_path / "w") in str(error.value)


@pytest.mark.parametrize("field", REQUIRED)
def test_cards_of_odd_types(field: str, tmp_path: Path) -> None:
    from clearsight.defend.classifiers.small_convnet import SmallConvNet

    for number, value in enumerate(ODD):
        folder = card(tmp_path / str(number), **{field: value})
        spec = SmallConvNet(weights=str(folder))
        with pytest.raises(ClearsightError) as error:
            state(str(find(spec.resolved().weights or "").folder))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "kind", ["spandrel", "onnx_restorer", "plug_and_play", "python", "adapted", "no_such_kind"]
)
@pytest.mark.slow
def test_a_card_whose_kind_needs_more_than_weights(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clearsight.pipelines.cli.app import main

    word = str(card(tmp_path / "w", spec={"kind": kind}))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    for command in (
        ["restore", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--with", word],
        ["advise", str(tmp_path), "--classifier", word],
        ["sense", str(tmp_path), "--weights", word],
    ):
        with pytest.raises(SystemExit):
            main(command)
        assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    plug_and_play = PlugAndPlay(denoiser=word, kernel=GaussianKernel())
    with pytest.raises(ClearsightError) as error:
        plug_and_play.build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null"])
def test_cards_that_are_none(text: str, tmp_path: Path) -> None:
    folder = card(tmp_path / "w")
    (folder / CARD).write_text(text)
    with pytest.raises(WeightsError, match=r"cannot read the card|the card lacks"):
        find(str(folder))
