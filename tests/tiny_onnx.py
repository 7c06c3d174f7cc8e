"""Tiny files of the contract, made without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clearsight.data.contract.deployed import KEY, Deployed, Input, Output

CLASSES = ("red", "green", "blue")
KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16


def tiny(
    path: Path,
    *,
    gives: tuple[str, ...] = ("logits",),
    layout: str = "NCHW",
    dtype: str = "float32",
    batch: int | None = None,
    height: int | None = None,
    width: int | None = None,
    channels: int = 3,
    minimum: int = 1,
    halo: int | None = 1,
    scale: int = 1,
    metadata: dict[str, str] | None = None,
    **described: Any,
) -> Path:
    """Write a blur of the image, enlarged by ``scale``, (image) and ten times the mean of every channel of it (logits)."""
    nodes, constants = [], []
    x = "images"
    if dtype == "uint8":
        nodes.append(helper.make_node("Cast", [x], ["cast"], to=TensorProto.FLOAT))
        constants.append(numpy_helper.from_array(np.array(255, np.float32), "levels"))
        nodes.append(helper.make_node("Div", ["cast", "levels"], ["unit"]))
        x = "unit"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [x], ["planes"], perm=[0, 3, 1, 2]))
        x = "planes"
    if scale > 1:
        constants.append(numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales"))
        nodes.append(helper.make_node("Resize", [x, "", "scales"], ["enlarged"], mode="nearest"))
        x = "enlarged"
    constants.append(numpy_helper.from_array(np.tile(KERNEL, (channels, 1, 1, 1)), "kernel"))
    nodes.append(helper.make_node("Conv", [x, "kernel"], ["blurred"], pads=[1, 1, 1, 1], group=channels))
    constants.append(numpy_helper.from_array(np.array(10, np.float32), "ten"))
    nodes.append(helper.make_node("GlobalAveragePool", ["blurred"], ["means"]))
    nodes.append(helper.make_node("Flatten", ["means"], ["flat"]))
    nodes.append(helper.make_node("Mul", ["flat", "ten"], ["logits"]))
    image = "blurred"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [image], ["last"], perm=[0, 2, 3, 1]))
        image = "last"
    if dtype == "uint8":
        nodes.append(helper.make_node("Mul", [image, "levels"], ["scaled"]))
        nodes.append(helper.make_node("Round", ["scaled"], ["rounded"]))
        nodes.append(helper.make_node("Cast", ["rounded"], ["bytes"], to=TensorProto.UINT8))
        image = "bytes"
    nodes.append(helper.make_node("Identity", [image], ["restored"]))
    kind = TensorProto.UINT8 if dtype == "uint8" else TensorProto.FLOAT
    n, h, w = batch or "n", height or "h", width or "w"
    shape = [n, h, w, channels] if layout == "NHWC" else [n, channels, h, w]
    if scale > 1:
        rows, columns = "rows", "columns"
        given = [n, rows, columns, channels] if layout == "NHWC" else [n, channels, rows, columns]
    else:
        given = shape
    outputs = {
        "logits": helper.make_tensor_value_info("logits", TensorProto.FLOAT, [n, channels]),
        "image": helper.make_tensor_value_info("restored", kind, given),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kind, shape)],
        [outputs[each] for each in gives],
        constants,
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    told = Deployed(
        name="tiny",
        chain="image -> blur -> means",
        input=Input("images", layout, dtype, channels, batch, height, width, minimum),  # type: ignore[arg-type]
        outputs=tuple(
            Output("logits", "logits")
            if each == "logits"
            else Output("restored", "image", halo=halo, scale=scale)
            for each in gives
        ),
        classes=CLASSES[:channels] if "logits" in gives else (),
        **({"variant": "fp32"} | described),
    )
    for key, value in ({KEY: told.to_json()} if metadata is None else metadata).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path
