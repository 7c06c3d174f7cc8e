"""YOLOX: letterbox, decoding and suppression by hand; files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_detector import CELL, NAMES, picture, tiny_yolox
from tiny_onnx import tiny

from clearsight.data.contract.errors import ConfigError, WeightsError
from clearsight.defend.coco_classes import COCO_CLASSES
from clearsight.defend.detector import Detector
from clearsight.defend.detectors.onnx_detector import OnnxDetector
from clearsight.defend.suppression import suppressed
from clearsight.defend.yolox import letterbox


def made(tmp_path: Path, **fields: object) -> Detector:
    told = {"path": str(tiny_yolox(tmp_path / "tiny.onnx")), "class_names": NAMES} | fields
    return OnnxDetector.model_validate(told).build()


def found(detector: Detector, image: np.ndarray) -> list[tuple[list[float], str]]:
    rows = detector(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255)[0]
    return [(row[:4].tolist(), detector.class_names[int(row[5])]) for row in rows if row[5] >= 0]


def test_boxes_lie_where_the_squares_are_and_channels_are_bgr(tmp_path: Path) -> None:
    boxes = found(made(tmp_path), picture([(1, 2, "red"), (5, 7, "blue")]))
    assert sorted(boxes) == [([8, 16, CELL, CELL], "red"), ([40, 56, CELL, CELL], "blue")]


@pytest.mark.parametrize(("shape", "factor"), [((128, 128), 2.0), ((32, 16), 0.5), ((64, 32), 1.0)])
def test_boxes_are_in_pixels_of_the_image(tmp_path: Path, shape: tuple[int, int], factor: float) -> None:
    # A square that covers whole cells of the network, whatever the image's own size.
    side = int(CELL * factor)
    image = np.zeros((*shape, 3), np.uint8)
    image[side : 2 * side, :side, 1] = 255
    (box,) = (box for box in found(made(tmp_path, score=0.2), image))
    assert box == ([0, side, side, side], "green")


def test_letterbox_keeps_proportions_and_fills_with_grey() -> None:
    image = np.full((20, 80, 3), 0.5, np.float32)
    square, factor = letterbox(image, 64, 64)
    assert factor == 0.8
    assert square.shape == (64, 64, 3)
    assert (square[:16] == 127.5).all()
    assert (square[16:] == 114).all()
    assert letterbox(np.zeros((1, 4000, 3), np.float32), 64, 64)[0][1:].min() == 114


def test_suppression_leaves_other_classes_and_small_overlaps() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [1, 0, 10, 10], [5, 0, 10, 10], [50, 50, 5, 5]])
    labels = np.array([0, 0, 1, 0, 0])
    # Overlaps with the first: 9/11, 9/11 (other class), 5/15.
    assert suppressed(boxes, labels, 0.5).tolist() == [0, 2, 3, 4]
    assert suppressed(boxes, labels, 0.9).tolist() == [0, 1, 2, 3, 4]
    # The fourth overlaps the second by 6/14, which is gone already, and the first by 1/3 only.
    assert suppressed(boxes, labels, 0.4).tolist() == [0, 2, 3, 4]
    assert suppressed(boxes, labels, 0.3).tolist() == [0, 2, 4]
    assert suppressed(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


def test_the_best_are_kept(tmp_path: Path) -> None:
    image = picture([(1, 2, "red"), (5, 7, "blue"), (3, 3, "green")])
    image[24:32, 24:32, 1] = 240
    assert [name for _, name in found(made(tmp_path, max_boxes=2), image)] == ["red", "blue"]
    assert len(found(made(tmp_path, score=0.9), image)) == 2


def test_values_that_are_not_finite_are_not_hidden(tmp_path: Path) -> None:
    path = tiny_yolox(tmp_path / "bad.onnx", bad=float("inf"))
    out = OnnxDetector(path=str(path)).build()(torch.rand(1, 3, 64, 64))
    assert not out.isfinite().any()


def test_class_names_are_numbers_or_cocos() -> None:
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert [COCO_CLASSES.index(name) for name in ("person", "car", "bus", "truck")] == [0, 2, 5, 7]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"class_names": ("a", "b")}, "has 3 classes, not 2"),
        ({"size": 96}, "takes 64x64 pixels, not 96x96"),
        ({"output": "nothing"}, "no output 'nothing'"),
    ],
)
def test_fields_that_do_not_fit_the_file(tmp_path: Path, fields: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        made(tmp_path, **fields)
    assert made(tmp_path, class_names=()).class_names == ("0", "1", "2")


def test_files_of_another_form(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gives \(1, 80, 8\), not \(1, 84, 5 \+ classes\)"):
        OnnxDetector(path=str(tiny_yolox(tmp_path / "few.onnx", places=80))).build()
    with pytest.raises(ConfigError, match="raw detections"):
        OnnxDetector(path=str(tiny(tmp_path / "classifier.onnx"))).build()
    with pytest.raises(WeightsError, match="no such file"):
        OnnxDetector(path=str(tmp_path / "nothing.onnx")).build()
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError):
        OnnxDetector(path=str(tmp_path / "text.onnx")).build()
