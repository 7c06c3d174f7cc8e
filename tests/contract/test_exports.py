"""Every part that ships is exported alone and agrees, or says why it cannot be; and so do fused systems."""

from __future__ import annotations

import json

import onnxruntime
import pytest

from clearsight.data.contract.deployed import read
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow
from clearsight.data.weights import Weights, find, shipped
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.export import verify
from clearsight.pipelines.export.export import Options, export
from clearsight.pipelines.export.wrap import refuse_unexportable
from clearsight.pipelines.systems.graph import Graph, Node, chain, wire
from clearsight.restore.catalogue import RESTORERS

FREE = ("classes", "class_names", "width")
"""Fields that change the sizes of tensors alone."""
FAST = ("signs-standard-v1", "zero-dce-v1")
"""A part of either room; the others take ten seconds and more, most of them torch's."""


def _distinct() -> dict[str, Weights]:
    """Return one set of weights a network, for neither weights nor width change how it is traced."""
    networks: dict[str, Weights] = {}
    for weights in sorted(shipped(), key=lambda each: each.folder.name in FAST):
        kind = weights.card["spec"]["kind"]
        if kind not in PARTS.kinds or PARTS[kind].takes != (Flow.IMAGES,):
            continue  # A sense is exported inside a gate, a calibrator behind a classifier (test_fit.py).
        spec = {k: v for k, v in weights.card["spec"].items() if k not in FREE}
        networks[json.dumps(spec, sort_keys=True)] = weights
    return {weights.folder.name: weights for weights in networks.values()}


SHIPPED = _distinct()
FUSED = {
    "denoise": "denoise-color-v2",
    "deblur": "deblur-v1",
    "enlighten": "enlighten-v1",
    "low_light": "low-light-v2",
    "enlarge": "sr-x2-v1",
}
"""Restorers that are exported in front of a classifier, their image an output too: that says all that an export of
the restorer alone would say, and most of the time goes into the trace of its network."""
ALONE = [name for name in SHIPPED if name not in FUSED.values()]
KINDS = {
    **{kind: RESTORERS[kind] for kind in RESTORERS.kinds},
    **{k: CLASSIFIERS[k] for k in CLASSIFIERS.kinds},
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(verify, "SIZES", ((32, 32), (17, 23), (24, 33)))


def part(weights: Weights):
    return PARTS.parse({"kind": weights.card["spec"]["kind"], "weights": weights.folder.name})


def exported(graph: Graph, folder, **options):
    done = export(graph, folder, name="x", options=Options(**options))
    found = done.manifest["verification"]
    assert found["agrees"]
    assert len(found["sizes"]) >= 3
    for kind in found["kinds"].values():
        assert kind["finite"]
        assert max(kind.get("largest_pixel_difference", {"": 0.0}).values()) <= 2.5e-4
        assert kind.get("relative_to_largest_logit", 0.0) <= 1e-4
        assert kind.get("equal_predictions", kind["images"]) == kind["images"]
    session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
    told = read(session.get_modelmeta().custom_metadata_map, "x")
    assert json.loads(told.to_json())["outputs"] == done.manifest["deployed"]["outputs"]
    assert (told.input.height, told.input.width, told.input.batch) == (None, None, None)
    return told


LONG = ("clarity-32px-v1", "clarity-v1", "denoise-gray-v1")
"""Twenty seconds and more each, of networks that are exported with other weights too."""


def marked(names, fast) -> list[object]:
    marks = {name: [pytest.mark.slow, pytest.mark.long] for name in LONG}
    return [
        pytest.param(name, marks=[] if name in fast else marks.get(name, [pytest.mark.slow]))
        for name in names
    ]


def test_every_shipped_network_is_exported() -> None:
    assert set(FUSED.values()) <= set(SHIPPED)
    assert set(FAST) <= set(ALONE)


@pytest.mark.parametrize("name", marked(ALONE, FAST))
@pytest.mark.slow
def test_shipped_weights(name, tmp_path):
    graph = chain(part(SHIPPED[name]))
    told = exported(graph, tmp_path)
    assert told.weights == {name: SHIPPED[name].sha256}
    assert told.outputs[0].gives == graph.gives.removesuffix("s") or graph.gives == "logits"
    assert bool(told.classes) == (graph.gives == "logits")


@pytest.mark.parametrize("kind", sorted(kind for kind, spec in KINDS.items() if spec.onnx != "ok"))
def test_kinds_that_cannot_be_exported_say_why(kind):
    spec = KINDS[kind].model_construct()
    graph = wire(["x"], {"x": spec})
    with pytest.raises(ConfigError, match=f"part 'x' \\({spec.name}\\) cannot be exported") as error:
        refuse_unexportable(graph, "s")
    assert KINDS[kind].onnx in error.value.what


def named(name: str):
    return part(next(weights for weights in shipped() if weights.folder.name == name))


def fused(name: str) -> Graph:
    # The smallest: how a classifier is traced is tested above, here it is what stands behind a restorer.
    tiny = named("signs-standard-v1")
    if name in FUSED:
        return chain(named(FUSED[name]), tiny)
    nodes = {"a": Node(use="first"), "b": Node(use="second")}
    parts = {
        "first": PARTS.parse({"kind": "median"}),
        "second": PARTS.parse({"kind": "gamma"}),
        "classify": tiny,
    }
    if name == "images meet":
        nodes |= {"c": Node(use="mean", of=("a", "b")), "out": Node(use="classify", of="c")}
        return wire(nodes, parts | {"mean": PARTS.parse({"kind": "mean_images"})})
    if name == "a gate":
        gate = PARTS.parse({"kind": "noise_gate", "threshold": 0.05})
        nodes = {"a": Node(use="first"), "b": Node(use="gate", of=("image", "a"))}
        nodes["out"] = Node(use="classify", of="b")
        return wire(nodes, {"first": parts["first"], "gate": gate, "classify": tiny})
    parts["first"] = PARTS.parse({"kind": "gamma", "gamma": 1.3})
    nodes |= {"c": Node(use="classify", of="a"), "d": Node(use="classify", of="b")}
    nodes |= {"out": Node(use="vote", of=("c", "d"))}
    return wire(nodes, parts | {"vote": PARTS.parse({"kind": "mean_logits"})})


@pytest.mark.parametrize(
    "name",
    marked(
        [*FUSED, "images meet", "logits meet", "a gate"],
        {"logits meet", "a gate"},
    ),
)
@pytest.mark.slow
def test_fused_systems(name, tmp_path):
    graph = fused(name)
    taps = (graph.restored,)
    told = exported(graph, tmp_path, taps=taps)
    assert [output.gives for output in told.outputs] == ["logits", "image"]
    assert told.classes
    used = {weights for spec in graph.parts.values() for weights in spec.weights_inside()}
    assert told.weights == {weights: find(weights).sha256 for weights in used}
    assert (name not in FUSED) or FUSED[name] in used


@pytest.mark.slow
def test_stored_images_in_and_out(tmp_path):
    graph = fused("logits meet")
    told = exported(graph, tmp_path, taps=(graph.restored,), uint8=True)
    assert (told.input.dtype, told.input.layout) == ("uint8", "NHWC")
