"""Rewrites what torch exports into what onnxruntime computes fast on a CPU, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEAST_WINDOW = 16
"""Least pixels in the window of an average that is rewritten: onnxruntime adds them up one by one."""
MOST_CHANNELS = 7
"""Most channels of such an average: convolutions read up to 7 without repacking, and cost their square."""
RANK = 1e-6
"""Singular values below this share of the largest count as rounding errors."""
ALIGNED = 4
"""Fast convolutions need a multiple of this many input channels, or fewer than 8."""


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return translations of torch's operators in place of the exporter's own."""
    import torch

    return {torch.ops.aten.pixel_unshuffle.default: _pixel_unshuffle}


def _pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    """Pick every pixel of a block by a convolution of ones and zeros.

    The exporter moves the pixels by a transposition of six axes, which takes as long as the layers behind it.
    """
    from onnxscript import ir
    from onnxscript.onnx_opset import opset18 as op

    channels, side = int(x.shape[1]), int(downscale_factor)
    # Few channels are read without repacking; the cost of many would grow with their square.
    groups = 1 if channels <= MOST_CHANNELS else channels
    weights = np.zeros((channels, side, side, channels // groups, side, side), np.float32)
    for c, i, j in np.ndindex(channels, side, side):
        weights[c, i, j, c if groups == 1 else 0, i, j] = 1.0
    values: Any = ir.tensor(weights.reshape(-1, channels // groups, side, side))
    kernel = op.Constant(value=values)
    return op.Conv(x, kernel, group=groups, kernel_shape=[side, side], strides=[side, side])


def lowered(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation in operators that are fast; the model given is changed.

    - Averages over large windows of few channels become convolutions by columns and by rows.
    - So do large filters over one channel that are products of columns and rows.
    - A convolution over concatenated channels whose number does not suit the fast kernels becomes a sum of
      convolutions over the pieces.
    - The largest of the k least values comes from a selection in place of a sort.
    """
    change = _Change(proto.graph)
    for rule in (_average, _factor, _split, _select):
        change.everywhere(rule)
    change.drop_unused()
    return proto


Rule = Callable[["_Change", onnx.NodeProto], "list[onnx.NodeProto] | None"]


class _Change:
    """Knows a graph while its nodes are replaced."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {initializer.name: initializer for initializer in graph.initializer}
        values = (*graph.value_info, *graph.input, *graph.output)
        self.shapes = {initializer.name: initializer.type.tensor_type.shape.dim for initializer in values}
        self.results = {initializer.name for initializer in graph.output}

    def everywhere(self, rule: Rule) -> None:
        """Replace each node by what a rule makes of it."""
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        rewritten: list[onnx.NodeProto] = []
        for node in self.graph.node:
            instead = rule(self, node)
            for new in instead or ():
                # New nodes belong to the part of the node that they replace.
                new.metadata_props.extend(node.metadata_props)
            rewritten += [node] if instead is None else instead
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rewritten]
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the value of a constant, None where the name is not that of one."""
        return numpy_helper.to_array(self.weights[name]) if name in self.weights else None

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant to the graph and return its name."""
        made = numpy_helper.from_array(values, name)
        self.graph.initializer.append(made)
        self.weights[name] = made
        return name

    def channels(self, name: str) -> int | None:
        """Return the channels of an image, None where they are not known."""
        shape = self.shapes.get(name)
        if shape is None or len(shape) != 4 or not shape[1].HasField("dim_value"):
            return None
        return int(shape[1].dim_value)

    def drop_unused(self) -> None:
        """Remove nodes and constants that nothing reads any more."""
        while True:
            used = {name for node in self.graph.node for name in node.input} | self.results
            kept = [node for node in self.graph.node if used & set(node.output)]
            if len(kept) == len(self.graph.node):
                break
            nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
            del self.graph.node[:]
            self.graph.node.extend(nodes)
        weights = [each for each in self.graph.initializer if each.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(weights)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], name=f"{output}_{kind}", **attributes)


def _average(change: _Change, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Turn the average over a window into two convolutions, over its columns and over its rows."""
    if node.op_type != "AveragePool":
        return None
    attributes, channels = _attributes(node), change.channels(node.input[0])
    window = attributes["kernel_shape"]
    plain = not attributes.get("ceil_mode") and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    plain = plain and set(attributes.get("dilations", [1])) == {1} and len(window) == 2
    if not plain or channels is None or channels > MOST_CHANNELS or np.prod(window) < LEAST_WINDOW:
        return None
    x, out = node.input[0], node.output[0]
    if not any(attributes.get("pads", ())) or attributes.get("count_include_pad"):
        return _sums(change, x, out, channels, attributes, 1.0 / window[0], 1.0 / window[1])
    # Windows at the border hold fewer pixels: the same sums over ones count them.
    single = change.constant(f"{out}_single", np.ones(2, np.int64))
    blank = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [1.0])
    return [
        *_sums(change, x, f"{out}_sum", channels, attributes),
        _node("Shape", [x], f"{out}_sides", start=2),
        _node("Concat", [single, f"{out}_sides"], f"{out}_shape", axis=0),
        _node("ConstantOfShape", [f"{out}_shape"], f"{out}_ones", value=blank),
        *_sums(change, f"{out}_ones", f"{out}_count", 1, attributes),
        _node("Div", [f"{out}_sum", f"{out}_count"], out),
    ]


def _sums(
    change: _Change,
    x: str,
    out: str,
    channels: int,
    attributes: Mapping[str, Any],
    down: float = 1.0,
    across: float = 1.0,
) -> list[onnx.NodeProto]:
    """Return sums over windows, each step times a factor."""
    high, wide = attributes["kernel_shape"]
    identity = np.eye(channels, dtype=np.float32)[:, :, None, None]
    columns = change.constant(f"{out}_columns", identity * np.full((high, 1), down, np.float32))
    rows = change.constant(f"{out}_rows", identity * np.full((1, wide), across, np.float32))
    return _in_two(x, out, (columns, rows), (), attributes)


def _in_two(
    x: str, out: str, kernels: tuple[str, str], bias: Sequence[str], attributes: Mapping[str, Any]
) -> list[onnx.NodeProto]:
    """Return convolutions by columns, then by rows, with strides and padding as of one 2D convolution."""
    (high, wide), (down, across) = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    columns = {"kernel_shape": [high, 1], "strides": [down, 1], "pads": [top, 0, bottom, 0]}
    rows = {"kernel_shape": [1, wide], "strides": [1, across], "pads": [0, left, 0, right]}
    return [
        _node("Conv", [x, kernels[0]], f"{out}_down", **columns),
        _node("Conv", [f"{out}_down", kernels[1], *bias], out, **rows),
    ]


def _split(change: _Change, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    kernel = change.array(node.input[1]) if node.op_type == "Conv" else None
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] < 8 or kernel.shape[1] % ALIGNED == 0:
        return None
    joined = change.makers.get(node.input[0])
    if joined is None or joined.op_type != "Concat" or _attributes(joined).get("axis") != 1:
        return None
    widths = [change.channels(name) for name in joined.input]
    known = [width for width in widths if width is not None]
    attributes = _attributes(node)
    if len(known) < len(widths) or sum(known) != kernel.shape[1] or attributes.get("group", 1) != 1:
        return None
    if len(joined.input) != 2 or len(change.readers[node.input[0]]) != 1:
        return None
    out, at = node.output[0], known[0]
    first = change.constant(f"{out}_first", np.ascontiguousarray(kernel[:, :at]))
    second = change.constant(f"{out}_second", np.ascontiguousarray(kernel[:, at:]))
    return [
        _node("Conv", [joined.input[0], first, *node.input[2:]], f"{out}_a", **attributes),
        _node("Conv", [joined.input[1], second], f"{out}_b", **attributes),
        _node("Add", [f"{out}_a", f"{out}_b"], out),
    ]


def _factor(change: _Change, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Turn large filters over one channel into columns and rows where their rank is low (wavelets)."""
    kernel = change.array(node.input[1]) if node.op_type == "Conv" else None
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 1:
        return None
    attributes = _attributes(node)
    high, wide = kernel.shape[2:]
    plain = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and set(attributes.get("dilations", [1])) == {
        1
    }
    if high * wide < LEAST_WINDOW or not plain or attributes.get("group", 1) != 1:
        return None
    unfolded = kernel[:, 0].transpose(1, 0, 2).reshape(high, -1).astype(np.float64)
    basis, sizes, _ = np.linalg.svd(unfolded, full_matrices=False)
    rank = int((sizes > RANK * sizes[0]).sum())
    if not 0 < rank <= MOST_CHANNELS or high + rank * wide >= high * wide:
        return None
    basis = basis[:, :rank]
    first = basis.T[:, None, :, None]
    second = (basis.T @ unfolded).reshape(rank, len(kernel), wide).transpose(1, 0, 2)[:, :, None]
    out = node.output[0]
    columns = change.constant(f"{out}_columns", np.ascontiguousarray(first, np.float32))
    rows = change.constant(f"{out}_rows", np.ascontiguousarray(second, np.float32))
    how = {"kernel_shape": [high, wide]} | attributes
    return _in_two(node.input[0], out, (columns, rows), node.input[2:], how)


def _select(change: _Change, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Turn Gather(TopK(x, k).values, -1) into the largest of the k least, which need no order."""
    if node.op_type != "Gather" or _attributes(node).get("axis", 0) != 1:
        return None
    index, best = change.array(node.input[1]), change.makers.get(node.input[0])
    if index is None or index.shape != () or int(index) != -1 or best is None or best.op_type != "TopK":
        return None
    attributes = _attributes(best)
    if attributes.get("largest", 1) or not attributes.get("sorted", 1) or attributes.get("axis", -1) != 1:
        return None
    others = change.readers.get(best.output[1], []) if len(best.output) > 1 else []
    if others or len(change.readers[best.output[0]]) != 1:
        return None
    for each in best.attribute:
        if each.name == "sorted":
            each.i = 0
    out = node.output[0]
    axis = change.constant(f"{out}_axis", np.array([1], np.int64))
    return [_node("ReduceMax", [best.output[0], axis], out, keepdims=0)]
