"""Rewritten graphs compute what they computed before, at any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.export.lower import lowered, translations

SIZES = ((1, 9, 9), (2, 17, 30), (3, 40, 11))


def drawn(*shape: int) -> np.ndarray:
    return Rng(0).at("lower", *shape).numpy().random(shape, dtype=np.float32)


def model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], channels: int, out: int) -> Any:
    shapes: dict[str, list[str | int | None]] = {"x": ["n", channels, "h", "w"], "z": ["n", 1, "h", "w"]}
    given = [name for name in shapes if any(name in node.input for node in nodes)]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * out)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    for node in nodes:
        told = node.metadata_props.add()
        told.key, told.value = "namespace", f"part of {node.op_type}"
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(made, full_check=True)
    return made


def run(proto: onnx.ModelProto, **fed: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, fed)[0]


def check(before: onnx.ModelProto, channels: int, *, second: bool = False) -> list[str]:
    """Compare at several sizes and return the operators afterwards."""
    after = lowered(onnx.ModelProto.FromString(before.SerializeToString()))
    onnx.checker.check_model(after, full_check=True)
    for n, h, w in SIZES:
        fed = {"x": drawn(n, channels, h, w)} | ({"z": drawn(n, 1, h, w)} if second else {})
        np.testing.assert_allclose(run(after, **fed), run(before, **fed), rtol=1e-5, atol=1e-6)
    used = {name for node in after.graph.node for name in node.input}
    assert {each.name for each in after.graph.initializer} <= used
    old = {told.value for node in before.graph.node for told in node.metadata_props}
    assert {told.value for node in after.graph.node for told in node.metadata_props} <= old
    return [node.op_type for node in after.graph.node]


@pytest.mark.parametrize(
    ("channels", "how"),
    [
        pytest.param(2, {"kernel_shape": [9, 9], "pads": [4, 4, 4, 4], "strides": [1, 1]}, id="shrinking"),
        pytest.param(1, {"kernel_shape": [8, 8], "strides": [2, 2]}, id="strided"),
        pytest.param(3, {"kernel_shape": [4, 5], "pads": [1, 2, 0, 1], "strides": [3, 2]}, id="uneven"),
        pytest.param(
            2, {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2], "count_include_pad": 1}, id="padding-counts"
        ),
    ],
)
def test_averages_over_large_windows(channels: int, how: dict[str, Any]) -> None:
    pool = helper.make_node("AveragePool", ["x"], ["y"], "pool", **how)
    kinds = check(model([pool], {}, channels, 4), channels)
    assert "AveragePool" not in kinds
    assert kinds.count("Conv") in (2, 4)


@pytest.mark.parametrize(
    ("channels", "how"),
    [
        pytest.param(2, {"kernel_shape": [3, 3]}, id="small-window"),
        pytest.param(8, {"kernel_shape": [8, 8]}, id="many-channels"),
        pytest.param(2, {"kernel_shape": [8, 8], "ceil_mode": 1, "strides": [3, 3]}, id="ceil"),
        pytest.param(2, {"kernel_shape": [4, 4], "dilations": [2, 2]}, id="dilated"),
    ],
)
def test_other_averages_stay(channels: int, how: dict[str, Any]) -> None:
    pool = helper.make_node("AveragePool", ["x"], ["y"], "pool", **how)
    assert check(model([pool], {}, channels, 4), channels) == ["AveragePool"]


def joined(channels: int, **how: Any) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Concat", ["x", "z"], ["both"], "join", axis=1),
        helper.make_node("Conv", ["both", "kernel", "bias"], ["y"], "conv", kernel_shape=[3, 3], **how),
    ]
    kernel, bias = drawn(5, channels + 1, 3, 3), drawn(5)
    return model(nodes, {"kernel": kernel, "bias": bias}, channels, 4)


def shaped(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(proto)


def test_a_convolution_over_channels_that_do_not_suit() -> None:
    before = shaped(joined(12, pads=[1, 1, 1, 1], strides=[2, 1]))
    assert check(before, 12, second=True) == ["Conv", "Conv", "Add"]


@pytest.mark.parametrize("channels", [pytest.param(4, id="few"), pytest.param(15, id="suiting")])
def test_other_convolutions_stay(channels: int) -> None:
    assert check(shaped(joined(channels)), channels, second=True) == ["Concat", "Conv"]


def filters(kernel: np.ndarray, **how: Any) -> onnx.ModelProto:
    node = helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], "conv", **how)
    return model([node], {"kernel": kernel.astype(np.float32), "bias": drawn(len(kernel))}, 1, 4)


def test_filters_that_are_products() -> None:
    low, high = drawn(7), drawn(7)[::-1] - 0.5
    wavelets = np.stack([np.outer(high, high), np.outer(low, high), np.outer(high, low[:7])])[:, None]
    assert check(filters(wavelets, strides=[2, 1], pads=[3, 1, 2, 0]), 1) == ["Conv", "Conv"]
    assert check(filters(wavelets[:, :, :, :4]), 1) == ["Conv", "Conv"]


def test_other_filters_stay() -> None:
    assert check(filters(drawn(3, 1, 7, 7)), 1) == ["Conv"]
    assert check(filters(np.ones((2, 1, 3, 3))), 1) == ["Conv"]
    assert check(filters(np.zeros((2, 1, 7, 7))), 1) == ["Conv"]
    assert check(filters(np.ones((2, 1, 4, 4)), dilations=[2, 2]), 1) == ["Conv"]


def test_a_median_needs_no_order() -> None:
    def nodes(largest: int) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Flatten", ["x"], ["flat"], "flat"),
            helper.make_node("TopK", ["flat", "k"], ["best", "places"], "top", largest=largest, axis=1),
            helper.make_node("Gather", ["best", "last"], ["y"], "last", axis=1),
        ]

    constants = {"k": np.array([60]), "last": np.array(-1)}
    assert check(model(nodes(0), constants, 1, 1), 1) == ["Flatten", "TopK", "ReduceMax"]
    assert check(model(nodes(1), constants, 1, 1), 1) == ["Flatten", "TopK", "Gather"]


class Unshuffled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_unshuffle(x, 2)


@pytest.mark.parametrize("channels", [pytest.param(3, id="few"), pytest.param(9, id="many")])
@pytest.mark.slow
def test_pixels_of_blocks_become_channels(channels: int) -> None:
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        Unshuffled().eval(),
        (torch.rand(2, channels, 8, 12, generator=Rng(0).torch()),),
        dynamo=True,
        verbose=False,
        opset_version=20,
        dynamic_shapes=({0: free, 2: 2 * torch.export.Dim("a"), 3: 2 * torch.export.Dim("b")},),
        input_names=["x"],
        custom_translation_table=translations(),
    )
    assert [node.op_type for node in program.model_proto.graph.node] == ["Conv"]
    x = drawn(3, channels, 6, 10)
    np.testing.assert_array_equal(
        run(program.model_proto, x=x), functional.pixel_unshuffle(torch.from_numpy(x), 2).numpy()
    )
