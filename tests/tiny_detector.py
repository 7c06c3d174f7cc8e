"""A detector whose answers are known: an ONNX file in YOLOX's form that finds saturated squares of 8 pixels."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE, CELL = 64, 8
NAMES = ("blue", "green", "red")
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
PLACES = (SIDE // 8) ** 2 + (SIDE // 16) ** 2 + (SIDE // 32) ** 2
Squares = Sequence[tuple[int, int, str]]
"""Column and row of a cell, and its colour."""


def tiny_yolox(path: Path, *, bad: float | None = None, places: int = PLACES) -> Path:
    """Write a network (1, 3, 64, 64) to (1, places, 8): a box on every 8x8 cell, in BGR the class scores its means.

    The score of an object is 5 max - 4 for the brightest channel, 0 below 0.8. ``bad`` replaces every score.
    """
    first = (SIDE // CELL) ** 2
    whole = np.zeros((1, first, 4), np.float32)
    whole[:, :, :2] = 0.5
    constants: dict[str, np.ndarray] = {
        "levels": np.array(255, np.float32),
        "flat": np.array([1, 3, first], np.int64),
        "box": whole,
        "slope": np.array(5, np.float32),
        "offset": np.array(4, np.float32),
        "axes": np.array([2], np.int64),
        "rest": np.zeros((1, places - first, 8), np.float32),
        "factor": np.array(1 if bad is None else bad, np.float32),
    }
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Div", ["means", "levels"], ["unit"]),
        helper.make_node("Reshape", ["unit", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["classes"], perm=[0, 2, 1]),
        helper.make_node("ReduceMax", ["classes", "axes"], ["most"], keepdims=1),
        helper.make_node("Mul", ["most", "slope"], ["steep"]),
        helper.make_node("Sub", ["steep", "offset"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["positive"]),
        helper.make_node("Mul", ["positive", "factor"], ["object"]),
        helper.make_node("Concat", ["box", "object", "classes"], ["fine"], axis=2),
        helper.make_node("Concat", ["fine", "rest"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, places, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(path))
    return path


def picture(squares: Squares, level: float = 1.0) -> np.ndarray:
    """Return a dark image, uint8 (64, 64, 3), with squares of this brightness."""
    image = np.full((SIDE, SIDE, 3), 20, np.uint8)
    for column, row, colour in squares:
        cell = image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        cell[:] = np.round(np.array(COLOURS[colour]) * level)
    return image


def squares_of(number: int) -> list[tuple[int, int, str]]:
    """Return the squares of an image of the set: some images have none, and blue is rare."""
    rng = np.random.Generator(np.random.Philox(key=number))
    cells = rng.permutation(64)[: number % 4]
    return [(int(c) % 8, int(c) // 8, "blue" if number == 3 else ("green", "red")[int(c) % 2]) for c in cells]


def squares_set(root: Path, count: int = 12) -> Path:
    """Write images with boxes; every third image is dim, so that the detector misses its squares."""
    (root / "images").mkdir(parents=True)
    told: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES)],
    }
    for number in range(count):
        name, squares = f"images/{number:02d}.png", squares_of(number)
        out = io.BytesIO()
        Image.fromarray(picture(squares, 0.7 if number % 3 == 2 else 1.0)).save(out, "png")
        (root / name).write_bytes(out.getvalue())
        told["images"].append({"id": number, "file_name": name, "height": SIDE, "width": SIDE})
        told["annotations"] += [
            {
                "id": len(told["annotations"]) + k,
                "image_id": number,
                "category_id": NAMES.index(colour),
                "bbox": [column * CELL, row * CELL, CELL, CELL],
                "iscrowd": 0,
            }
            for k, (column, row, colour) in enumerate(squares)
        ]
    (root / "annotations.json").write_text(json.dumps(told))
    return root
