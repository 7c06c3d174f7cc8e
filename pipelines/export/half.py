"""fp16 for the networks in an ONNX file; everything around them, such as index arithmetic, stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAMESPACE = "namespace"
"""Key of the metadata in which the exporter notes the module that a node comes from."""
MAKERS = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "Range", "If", "Loop", "Scan"})
"""Operators that set the type of their result, or that hold subgraphs: they stay as they are."""
STAYING = {"Resize": (1, 2), "Upsample": (1,)}
"""Operator -> positions of inputs that must stay float32 whatever the type of the image."""
SUFFIX = "_half"


def networks(proto: onnx.ModelProto) -> frozenset[str]:
    """Return the names of the nodes inside the parts' networks, as the exporter noted them."""
    inside = []
    for node in proto.graph.node:
        module = {each.key: each.value for each in node.metadata_props}.get(NAMESPACE, "")
        # The module path of a part's own network, wherever the part stands in the system.
        if ".network:" in module or ".network." in module:
            inside.append(node.name)
    return frozenset(inside)


def half(model: bytes) -> bytes:
    """Return a file whose networks compute in fp16; its inputs and outputs keep their types.

    Weights beyond 65504 become infinite, which the verification then finds.
    """
    proto = onnx.load_from_string(model)
    inside = networks(proto)
    nodes = list(proto.graph.node)
    chosen = [node.name in inside and node.op_type not in MAKERS for node in nodes]
    change = _Change(proto)
    wanted = {name for node, here in zip(nodes, chosen, strict=True) if not here for name in _used(node)}
    wanted |= {output.name for output in proto.graph.output}
    made: list[onnx.NodeProto] = []
    for node, here in zip(nodes, chosen, strict=True):
        if here:
            made += change.casts_before(node)
        made.append(node)
        if here:
            made += change.casts_after(node, wanted)
    del proto.graph.node[:]
    proto.graph.node.extend(made)
    # Shapes and types of values that changed would contradict the new ones.
    del proto.graph.value_info[:]
    _drop_unused(proto)
    return bytes(proto.SerializeToString())


def _used(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names of the values that a node reads, including those of its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _used(inner)
            yield from (output.name for output in graph.output)


class _Change:
    """Knows which values are float32, and which have an fp16 twin by now."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.graph = proto.graph
        self.weights = {initializer.name: initializer for initializer in proto.graph.initializer}
        typed = onnx.shape_inference.infer_shapes(proto).graph
        self.floats = {
            value.name
            for value in (*typed.value_info, *typed.input, *typed.output)
            if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self.floats |= {
            n for n, initializer in self.weights.items() if initializer.data_type == TensorProto.FLOAT
        }
        self.twins: set[str] = set()

    def casts_before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Let a node read fp16, and return the casts that this needs."""
        casts = []
        for i, name in enumerate(node.input):
            if name not in self.floats or i in STAYING.get(node.op_type, ()):
                continue
            node.input[i] = name + SUFFIX
            if name in self.twins:
                continue
            self.twins.add(name)
            if name in self.weights:
                values = numpy_helper.to_array(self.weights[name])
                with np.errstate(over="ignore"):
                    small = values.astype(np.float16)
                self.graph.initializer.append(numpy_helper.from_array(small, name + SUFFIX))
            else:
                casts.append(_cast(name, name + SUFFIX, TensorProto.FLOAT16))
        return casts

    def casts_after(self, node: onnx.NodeProto, wanted: set[str]) -> list[onnx.NodeProto]:
        """Let a node write fp16, and return the casts back to fp32 that ``wanted`` values need."""
        casts = []
        for i, name in enumerate(node.output):
            if name not in self.floats:
                continue
            node.output[i] = name + SUFFIX
            self.twins.add(name)
            if name in wanted:
                casts.append(_cast(name + SUFFIX, name, TensorProto.FLOAT))
        return casts


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)


def _drop_unused(proto: onnx.ModelProto) -> None:
    used = {name for node in proto.graph.node for name in _used(node)}
    used |= {output.name for output in proto.graph.output}
    kept = [each for each in proto.graph.initializer if each.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
