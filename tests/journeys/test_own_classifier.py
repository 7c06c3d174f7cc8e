"""Journeys: a classifier of one's own with its own preprocessing, on photographs of many sizes; a foreign ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pages import done_by
from PIL import Image

import clearsight
from clearsight.data.contract.rng import Rng

SIZES = ((31, 44), (64, 48), (20, 20), (45, 45), (33, 70), (31, 44))
CLASSES = ("blue", "green", "red")
"""Folders are sorted by name, and so are the classes: the order of channels that OpenCV has."""
NET = """
import torch
from torch import nn


class Net(nn.Module):
    # Takes 16x16 pixels in BGR, 0 to 255, less the mean; gives log-probabilities.
    def forward(self, x):
        assert x.shape[1:] == (3, 16, 16), x.shape
        assert x.min() < -20 and x.max() > 20, (x.min(), x.max())
        return torch.log_softmax(x.mean((2, 3)) / 4, 1)
"""
CONFIG = """
task: evaluate
name: mine
data: {{kind: folder, path: photos}}
parts: {{net: {net}}}
systems: {{plain: [net]}}
conditions: {{clean: {{kind: identity}}, noise: {{kind: gaussian_noise, severity: 1}}}}
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photographs of each of three colours, of five sizes; also PNG, grey and with transparency."""
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(CLASSES):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i, size in enumerate(SIZES):
            draw = Rng(5).at("photo", label, i).numpy()
            pixels = draw.integers(40, 140, (*size, 3)).astype(np.uint8)
            pixels[:, :, 2 - label] += 60
            ending = ".png" if i % 2 else ".jpg"
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}{ending}", quality=95)
    return tmp_path / "photos"


def figures(net: str) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Run a config with this classifier; return the accuracies and the rows."""
    Path("mine.yaml").write_text(CONFIG.format(net=net))
    done_by("check", "mine.yaml")
    done_by("run", "mine.yaml", "--workers", "1", "--quiet", "--fresh")
    report = clearsight.open_run(max(Path("runs").iterdir(), key=lambda path: path.stat().st_mtime_ns))
    accuracy = {
        str(row["condition"]): float(row["value"]) for row in report.results() if row["metric"] == "accuracy"
    }
    return accuracy, report.rows().to_pylist()


@pytest.mark.slow
def test_own_classifier_with_own_preprocessing_on_photographs_of_many_sizes(photos: Path) -> None:
    (photos.parent / "net.py").write_text(NET)
    told = (
        "kind: python, call: net.py:Net, classes: 3, value_range: 255, mean: [104, 117, 123], input_size: 16"
    )
    accuracy, rows = figures(f"{{{told}, channel_order: bgr, output: log_probabilities}}")
    assert accuracy == {"clean": 1.0, "noise": 1.0}
    assert len(rows) == 2 * 3 * len(SIZES)
    # In the wrong order red and blue change places, and only green is right.
    accuracy, _ = figures(f"{{{told}, channel_order: rgb, output: log_probabilities}}")
    assert accuracy["clean"] == pytest.approx(1 / 3)


def foreign(path: Path) -> None:
    """Write a file as exporters of other frameworks do: (n, h, w, 3), BGR, 0 to 255, a softmax at its end."""
    shape: list[str | int | None] = ["n", "h", "w", 3]
    nodes = [
        helper.make_node("ReduceMean", ["input_1", "axes"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["predictions"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "keras",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.array(40, np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


def test_a_foreign_onnx_file_is_told_by_its_fields(photos: Path) -> None:
    foreign(photos.parent / "foreign.onnx")
    told = "kind: onnx, path: foreign.onnx, classes: 3, channel_order: bgr, value_range: 255"
    accuracy, rows = figures(f"{{{told}, output: probabilities}}")
    assert accuracy == {"clean": 1.0, "noise": 1.0}
    # The confidence is that of its own softmax, not of a softmax of a softmax.
    row = next(row for row in rows if row["condition"] == "clean" and row["id"].endswith("green/1.png"))
    with Image.open(photos / "green" / "1.png") as image:
        means = np.asarray(image, np.float64)[:, :, ::-1].mean((0, 1)) / 40
    expected = np.exp(means - means.max()) / np.exp(means - means.max()).sum()
    assert row["confidence"] == pytest.approx(expected[1], rel=1e-3)
