from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tiny_onnx import CLASSES, KERNEL, tiny

from clearsight.data import cores as cores_module
from clearsight.data.contract.deployed import KEY
from clearsight.data.contract.errors import ConfigError, DataError, RunError, ShapeError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.media.images import to_float
from clearsight.pipelines.inference import providers, session
from clearsight.pipelines.inference.session import Session

HOUSE = Path(__file__).parents[2]


def noise(name: str, *shape: int) -> np.ndarray:
    return Rng(0).at(name).numpy().integers(0, 256, shape).astype(np.uint8)


def blurred(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    wide = np.pad(pixels.astype(np.float64) / 255, ((1, 1), (1, 1), (0, 0)))
    return sum(KERNEL[y, x] * wide[y : y + height, x : x + width] for y in range(3) for x in range(3))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [None, 2])
def test_every_form_of_file_and_of_images_gives_the_same(tmp_path, layout, dtype, batch):
    file = tiny(tmp_path / "a.onnx", gives=("logits", "image"), layout=layout, dtype=dtype, batch=batch)
    deployed = Session(file, "cpu", 1)
    images = noise("p", 5, 9, 7, 3)
    means = np.array([10 * blurred(each).mean(axis=(0, 1)) for each in images])
    said = [deployed.classify(images), deployed.classify(list(images))]
    if dtype == "float32":
        said.append(deployed.classify(to_float(images)))
    for each in said:
        assert np.allclose(each.logits, means, atol=1e-5)
        assert each.labels.tolist() == means.argmax(axis=1).tolist()
        assert each.names == tuple(CLASSES[at] for at in each.labels)
        assert np.allclose(each.probabilities.sum(axis=1), 1)
        assert [row[0][0] for row in each.top(2)] == list(each.names)
        assert all(first[1] >= second[1] for first, second in each.top(2))
    whole: Any = deployed.restore(images)
    assert (whole.dtype, whole.shape) == (np.uint8, images.shape)
    assert np.abs(whole.astype(float) - 255 * np.array([blurred(each) for each in images])).max() < 0.51
    assert np.array_equal(np.array(deployed.restore(list(images))), whole)
    if dtype == "float32":
        planes: Any = deployed.restore(to_float(images))
        assert (planes.dtype, planes.shape) == (np.float32, (5, 3, 9, 7))


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_a_list_of_mixed_sizes_keeps_its_order(tmp_path_factory, sizes):
    folder = tmp_path_factory.getbasetemp()
    file = folder / "mixed.onnx"
    deployed = Session(file if file.exists() else tiny(file, gives=("logits", "image")), "cpu", 1)
    images = [noise(str(at), *size, 3) for at, size in enumerate(sizes)]
    together = deployed.classify(images)
    for at, image in enumerate(images):
        assert np.allclose(together.logits[at], deployed.classify([image]).logits[0], atol=1e-5)
    assert [each.shape for each in deployed.restore(images)] == [each.shape for each in images]


def test_grey_images_are_repeated_and_batches_are_split(tmp_path, monkeypatch):
    deployed = Session(tiny(tmp_path / "a.onnx"), "cpu", 1)
    grey = noise("g", 6, 8)
    assert np.array_equal(
        deployed.classify([grey]).logits, deployed.classify([np.repeat(grey[:, :, None], 3, 2)]).logits
    )
    assert deployed.batch(32, 32) == 64
    assert deployed.batch(512, 512) == deployed.batch(4000, 4000) == 1
    many = noise("many", 7, 8, 8, 3)
    monkeypatch.setattr(session, "PIXELS_A_CALL", {True: 130})
    assert deployed.batch(8, 8) == 2
    assert len(deployed.classify(many).names) == 7


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        pytest.param(np.zeros((8, 8, 3), np.uint8), "put a single image into a list", id="one"),
        pytest.param(np.zeros((1, 8, 8, 4), np.uint8), "takes 3 channels, got 4", id="rgba"),
        pytest.param(np.full((1, 3, 8, 8), 255.0, np.float32), "divide by 255", id="range"),
        pytest.param(np.full((1, 3, 8, 8), np.nan, np.float32), r"in \[0, 1\]", id="nan"),
        pytest.param(np.zeros((1, 3, 4, 8), np.float32), "got 8x4 pixels", id="small"),
        pytest.param(np.zeros((1, 8, 8, 3), np.int64), "got int64", id="type"),
        pytest.param([], "got nothing", id="empty"),
        pytest.param([np.zeros((8, 8, 3), np.float32)], "list of uint8", id="list of floats"),
        pytest.param(np.zeros((0, 8, 8, 3), np.uint8), "got no images", id="none"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_one_line(tmp_path, images, reason):
    deployed = Session(tiny(tmp_path / "a.onnx", minimum=5), "cpu", 1)
    with pytest.raises(ShapeError, match=reason) as caught:
        deployed.classify(images)
    assert "\n" not in str(caught.value)


def test_files_of_one_size_and_type_say_so(tmp_path):
    fixed = Session(tiny(tmp_path / "a.onnx", height=8, width=6), "cpu", 1)
    with pytest.raises(ShapeError, match="takes images of 6x8 pixels only, got 8x8"):
        fixed.classify(noise("a", 1, 8, 8, 3))
    with pytest.raises(ConfigError, match="gives no image, only: logits"):
        fixed.restore(noise("a", 1, 8, 6, 3))
    whole = Session(tiny(tmp_path / "b.onnx", dtype="uint8", gives=("image",)), "cpu", 1)
    with pytest.raises(ShapeError, match="takes uint8"):
        whole.restore(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(ConfigError, match="gives no logits, only: image"):
        whole.classify(noise("a", 1, 8, 8, 3))
    with pytest.raises(DataError, match="logits are not finite"):
        fixed.predictions(np.full((1, 3), np.nan, np.float32))


def altered(path: Path, **changes: object) -> Path:
    model = onnx.load(str(path))
    told = json.loads(model.metadata_props[0].value)
    if isinstance(changes.get("input"), dict):
        told["input"] |= changes.pop("input")
    model.metadata_props[0].value = json.dumps(told | changes)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 99}, "of format 99"),
        ({"classes": ["a"]}, "1 classes are named, output 'logits' has 3"),
        ({"outputs": []}, "no outputs"),
        ({"outputs": [{"name": "x", "gives": "logits"}]}, "output 'x'"),
        ({"input": {"name": "x"}}, "names input 'x'"),
        ({"input": {"layout": "NHWC"}}, "does not fit its graph"),
        ({"input": {"dtype": "uint8"}}, "does not fit its graph"),
        ({"input": {"height": 32}}, "does not fit its graph"),
        ({"input": {"minimum": 0}}, "makes? no sense"),
        ({"input": {"minimum": "many"}}, "description is damaged: minimum is 'many'"),
        ({"input": {"width": True}}, "description is damaged: width is True"),
        ({"input": {"layout": "CHWN"}}, "description is damaged: layout is 'CHWN'"),
        ({"input": {"unknown": 1}}, "description is damaged"),
        ({"input": 3}, "description is damaged"),
        ({"variant": ["fp32"]}, "description is damaged: variant"),
        ({"weights": {"a": 1}}, "description is damaged: weights"),
        ({"classes": ["a", 1, "c"]}, "description is damaged: classes"),
        ({"classes": ["a", "b\n", "c"]}, "not text"),
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_refused(tmp_path, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Session(altered(tiny(tmp_path / "a.onnx"), **changes), "cpu", 1)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    file = tiny(tmp_path / "a.onnx")
    data = file.read_bytes()
    for name, content in (("half", data[: len(data) // 2]), ("empty", b""), ("text", b"hello, world\n" * 9)):
        broken = tmp_path / f"{name}.onnx"
        broken.write_bytes(content)
        for provider in ("cpu", "tensorrt"):
            with pytest.raises((WeightsError, ConfigError), match=f"{name}.onnx: ") as caught:
                Session(broken, provider, 1)
            assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="says nothing of its input and classes"):
        Session(tiny(tmp_path / "foreign.onnx", metadata={}), "cpu", 1)
    with pytest.raises(ConfigError, match="description is damaged"):
        Session(tiny(tmp_path / "bad.onnx", metadata={KEY: "{"}), "cpu", 1)
    with pytest.raises(ConfigError, match="no such file"):
        Session(tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match="unknown provider 'gpu'"):
        Session(file, "gpu")
    with pytest.raises(ConfigError, match="at least 1 thread"):
        Session(file, "cpu", 0)


def test_a_graph_that_fails_on_a_size_is_one_line(tmp_path):
    path = tiny(tmp_path / "a.onnx", gives=("image",), minimum=8)
    model = onnx.load(str(path))
    # Takes any size by its description, 9x8 in truth: just what is tried when it is opened.
    model.graph.initializer.append(helper.make_tensor("grid", onnx.TensorProto.FLOAT, [8, 9], [0.0] * 72))
    model.graph.node[-1].CopyFrom(helper.make_node("Add", ["blurred", "grid"], ["restored"]))
    onnx.save(model, str(path))
    deployed = Session(path, "cpu", 1)
    assert np.shape(deployed.restore(noise("a", 1, 8, 9, 3))) == (1, 8, 9, 3)
    with pytest.raises(RunError, match="onnxruntime cannot compute it") as caught:
        deployed.restore(noise("a", 1, 12, 12, 3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("provider", ["auto", "cuda", "tensorrt"])
def test_what_is_not_to_be_had_is_passed_over_in_silence(tmp_path, provider, capfd):
    deployed = Session(tiny(tmp_path / "a.onnx"), provider, 1)
    assert deployed.providers == tuple(deployed._calls._session.get_providers())
    assert deployed.providers[-1] == providers.CPU
    assert deployed.classify(noise("a", 1, 8, 8, 3)).labels.shape == (1,)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("text", "cores"), [("max 100000", None), ("150000 100000", 2), ("1000 100000", 1)])
def test_cores_respect_the_quota_of_a_container(tmp_path, monkeypatch, text, cores):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    monkeypatch.setattr(cores_module, "QUOTA", quota)
    assert cores_module.usable_cores() == (cores or 5)


@pytest.mark.slow
def test_neither_session_nor_command_imports_torch(tmp_path):
    file = tiny(tmp_path / "a.onnx", gives=("logits", "image"))
    from PIL import Image

    Image.fromarray(noise("a", 8, 8, 3)).save(tmp_path / "a.png")
    code = (
        "import sys\nfrom clearsight.pipelines.cli.app import main\n"
        f"main(['infer', {str(file)!r}, {str(tmp_path / 'a.png')!r}, '--provider', 'cpu',"
        f" '--size', '6', '--save-restored', {str(tmp_path / 'out')!r}, '--csv', {str(tmp_path / 'o.csv')!r}])"
    )
    tail = (
        "\nheavy = {'torch', 'onnx', 'scipy', 'yaml', 'kornia', 'pyarrow', 'platformdirs', 'safetensors'}"
        "\nassert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    code = (
        code.replace("\nmain(", "\ntry:\n    main(")
        + "\nexcept SystemExit as e:\n    assert not e.code"
        + tail
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a.png").is_file()
