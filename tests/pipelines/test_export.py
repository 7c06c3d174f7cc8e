"""Export: the file computes what the system does, at every size it promises and none below a network's least."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from onnx import numpy_helper
from PIL import Image

from clearsight.data.contract.deployed import KEY, read
from clearsight.data.contract.errors import ConfigError, DataError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.folder import Folder
from clearsight.data.sources.signs import Signs
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.export import export as exporting
from clearsight.pipelines.export import verify
from clearsight.pipelines.export.cost import costs
from clearsight.pipelines.export.export import Options, export
from clearsight.pipelines.export.half import half, networks
from clearsight.pipelines.export.manifest import MANIFEST, labelled, read_manifest
from clearsight.pipelines.export.quantise import convert, int8
from clearsight.pipelines.export.sample_images import (
    CORRUPTIONS,
    SampleImages,
    adversarial,
    corrupted,
    gather,
)
from clearsight.pipelines.export.verify import Agreement, Difference, Runner
from clearsight.pipelines.export.wrap import Deployable, form, refuse_unexportable, stored
from clearsight.pipelines.systems.graph import Graph, Node, chain, wire

TOY = """
import torch
from torch import nn
from clearsight.data.initial import fresh


def build(classes=3):
    return fresh(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)))


class Baked(nn.Module):
    def forward(self, x):
        # Reads the size as a number, as many networks do.
        size = int(x.shape[2])
        assert size == 32
        return x.mean((2, 3)) * 4.0


def baked(classes=3):
    return Baked()


class Reading(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) * float(x.mean())


def reading(classes=3):
    return Reading()
"""
CLASSES = ("blue", "green", "red")


def part(**told):
    return PARTS.parse(told)


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("code") / "toy_export.py"
    path.write_text(TOY)
    return str(path)


@pytest.fixture(scope="module")
def graph(code) -> Graph:
    """Two branches that meet, and a small network behind."""
    parts = {
        "gamma": part(kind="gamma", gamma=0.8),
        "darken": part(kind="gamma", gamma=1.3),
        "join": part(kind="mean_images"),
        "classify": part(kind="python", call=f"{code}:build", classes=3, class_names=CLASSES),
    }
    nodes = {
        "bright": Node(use="gamma"),
        "dark": Node(use="darken"),
        "both": Node(use="join", of=("bright", "dark")),
        "out": Node(use="classify", of="both"),
    }
    return wire(nodes, parts)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> Folder:
    """60 noisy images of 32x32 in three classes."""
    folder = tmp_path_factory.mktemp("coloured")
    for i in range(60):
        pixels = Rng(7).at("image", i).numpy().integers(0, 120, (32, 32, 3))
        pixels[:, :, 2 - i % 3] += 60
        place = folder / CLASSES[i % 3]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i:03d}.png")
    return Folder(path=str(folder))


@pytest.fixture(scope="module")
def traced(graph, code) -> tuple[bytes, object, object]:
    """The graph as an ONNX file that still says where its nodes come from; with its system and form."""
    system = graph.build()
    made = form(system, ("both",), uint8=False, where="toy")
    return exporting.traced(system, made, 20, "toy"), system, made


@pytest.fixture
def ready(monkeypatch, traced):
    """Spare the seconds of a trace: the file of `traced` is what every trace gives."""
    monkeypatch.setattr(exporting, "traced", lambda *_: traced[0])
    monkeypatch.setattr(verify, "SIZES", ((32, 32), (17, 23)))


OPTIONS = Options(taps=("both",), measured=20, calibration=12)


@pytest.mark.slow
def test_a_file_its_metadata_and_its_manifest(ready, traced, graph, coloured, tmp_path):
    done = export(graph, tmp_path / "deploy", name="twice", source=coloured, options=OPTIONS)
    assert done.path == tmp_path / "deploy" / "twice.onnx"
    assert sorted(p.name for p in done.path.parent.iterdir()) == [MANIFEST, "twice.onnx"]
    entry = json.loads((done.path.parent / MANIFEST).read_text())["files"]["twice.onnx"]
    assert entry == done.manifest
    assert entry["sha256"] == hashlib.sha256(done.path.read_bytes()).hexdigest()
    session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
    told = read(session.get_modelmeta().custom_metadata_map, "twice.onnx")
    assert told.classes == CLASSES
    assert told.config_key == graph.fingerprint()
    assert [(o.name, o.gives) for o in told.outputs] == [("logits", "logits"), ("both", "image")]
    assert [o.name for o in session.get_outputs()] == ["logits", "both"]
    assert [i.name for i in session.get_inputs()] == [told.input.name]
    found = entry["verification"]
    assert found["agrees"]
    assert found["batches"] == [1, 3]
    assert {"clean", "gaussian_noise", "defocus_blur", "adversarial"} == set(found["kinds"])
    for kind in found["kinds"].values():
        assert kind["equal_predictions"] == kind["images"]
        assert kind["largest_logit_difference"] <= 1e-4
    x = torch.rand(2, 3, 41, 27, generator=Rng(1).torch())
    with torch.no_grad():
        expected = traced[1](x).numpy()
    assert np.abs(session.run(None, {"input": x.numpy()})[0] - expected).max() < 1e-5


@pytest.mark.slow
def test_a_file_keeps_no_path_of_the_machine(ready, graph, coloured, tmp_path, code):
    done = export(graph, tmp_path, source=coloured, options=OPTIONS)
    content = done.path.read_bytes()
    for told in (str(Path(__file__).parents[2]), code, "stack_trace"):
        assert told.encode() not in content


@pytest.mark.slow
def test_a_second_system_joins_the_manifest(ready, graph, coloured, tmp_path):
    for name in ("one", "two"):
        export(graph, tmp_path, name=name, source=coloured, options=OPTIONS)
    assert list(read_manifest(tmp_path)["files"]) == ["one.onnx", "two.onnx"]
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        export(graph, tmp_path, name="three", source=coloured, options=OPTIONS)


def weakened(model: bytes) -> bytes:
    proto = onnx.load_from_string(model)
    weight = next(w for w in proto.graph.initializer if len(w.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.01, weight.name))
    return proto.SerializeToString()


@pytest.mark.slow
def test_a_file_that_differs_is_not_written(ready, traced, graph, coloured, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "traced", lambda *_: weakened(traced[0]))
    with pytest.raises(RunError, match="differs from the system"):
        export(graph, tmp_path / "deploy", source=coloured, options=OPTIONS)
    assert not (tmp_path / "deploy").exists()


@pytest.mark.slow
def test_a_failed_export_leaves_what_was_there(ready, traced, graph, coloured, tmp_path, monkeypatch):
    done = export(graph, tmp_path, source=coloured, options=OPTIONS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(exporting, "traced", lambda *_: weakened(traced[0]))
    with pytest.raises(RunError):
        export(graph, tmp_path, source=coloured, options=OPTIONS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert done.path.exists()


@pytest.mark.slow
def test_fp16_is_measured_against_fp32(ready, graph, coloured, tmp_path):
    done = export(graph, tmp_path, source=coloured, options=replace(OPTIONS, variant="fp16"))
    assert done.path.name == "system-fp16.onnx"
    cost = done.manifest["cost"]
    assert cost["labels"] == "the images' own"
    assert cost["images"] == 20
    for condition in cost["conditions"].values():
        for key in ("accuracy", "psnr of both"):
            low, high = condition[key]["interval"]
            assert low <= condition[key]["difference"] <= high
    # The network computes in half precision, the images do not.
    kinds = {w.data_type for w in onnx.load(done.path).graph.initializer if len(w.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert done.manifest["verification"]["fp16"]["kinds"]["clean"]["largest_pixel_difference"]["both"] < 1e-6


@pytest.mark.slow
def test_fp16_that_overflows_is_refused(ready, traced, graph, coloured, tmp_path, monkeypatch):
    proto = onnx.load_from_string(traced[0])
    for weight in proto.graph.initializer:
        if len(weight.dims) == 4 and weight.dims[0] == 8 and weight.dims[1] == 8:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1e7, weight.name))
    broken = half(proto.SerializeToString())
    monkeypatch.setattr("clearsight.pipelines.export.quantise.half", lambda _: broken)
    with pytest.raises((RunError, DataError), match=r"fp16 (breaks|loses)|is not finite"):
        export(graph, tmp_path / "deploy", source=coloured, options=replace(OPTIONS, variant="fp16"))
    assert not (tmp_path / "deploy").exists()


@pytest.mark.slow
def test_int8_says_what_it_costs(ready, graph, coloured, tmp_path):
    done = export(graph, tmp_path, source=coloured, options=replace(OPTIONS, variant="int8"))
    assert done.path.name == "system-int8.onnx"
    told = done.manifest["quantisation"]
    assert told["ranges"] in ("minmax", "percentile")
    assert set(told["trial"]) == {"minmax", "percentile"}
    assert set(done.manifest["cost"]["conditions"]) == {"clean", "gaussian_noise", "defocus_blur"}
    operators = {node.op_type for node in onnx.load(done.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators


@pytest.mark.slow
def test_int8_needs_the_systems_own_images(ready, graph, tmp_path):
    options = replace(OPTIONS, variant="int8")
    missing = Folder(path=str(tmp_path / "nowhere"))
    for source in (None, missing):
        with pytest.raises(ConfigError, match="int8"):
            export(graph, tmp_path / "deploy", source=source, options=options)
    assert not (tmp_path / "deploy").exists()


@pytest.mark.slow
def test_filters_alone_have_no_variant(traced, coloured):
    _, _system, made = traced
    proto = onnx.load_from_string(traced[0])
    for node in proto.graph.node:
        del node.metadata_props[:]
    with pytest.raises(RunError, match="no part is a network"):
        convert(proto.SerializeToString(), "int8", made, gather(coloured, calibration=4, measured=4), "x")


def test_parts_that_cannot_be_exported_are_named(tmp_path):
    graph = wire(
        ["squeeze", "classify"],
        {
            "squeeze": part(kind="jpeg_squeeze"),
            "classify": part(kind="small_convnet", weights="signs-standard-v1"),
        },
    )
    with pytest.raises(ConfigError, match=r"system 'jpeg'.*'squeeze' \(jpeg_squeeze\).*JPEG codec"):
        export(graph, tmp_path / "deploy", name="jpeg")
    assert not (tmp_path / "deploy").exists()
    random = wire(["r", "c"], {"r": part(kind="random_resize"), "c": graph.steps[-1].spec})
    with pytest.raises(ConfigError, match="draws random numbers"):
        refuse_unexportable(random, "random")


@pytest.mark.parametrize(
    ("taps", "error"),
    [(("nothing",), "no node 'nothing'"), (("out",), "only images"), (("image",), "no node 'image'")],
)
def test_taps_must_be_images_of_the_graph(graph, taps, error):
    with pytest.raises(ConfigError, match=error):
        form(graph.build(), taps, uint8=False, where="toy")


def test_halo_grid_and_scale_add_up_along_a_chain():
    graph = chain(
        part(kind="median", size=5),
        part(kind="span", width=8, blocks=1, scale=2),
        part(kind="unet_denoiser", width=4, sigma=0.1),
    )
    system = graph.build()
    made = form(system, (), uint8=False, where="x")
    (output,) = made.outputs
    facts: list[Any] = [system.part(name).facts for name in graph.parts]
    assert output.name == "image"
    assert output.scale == 2
    assert output.multiple_of == facts[2].multiple_of // 2
    least = 2 + facts[1].receptive_field // 2 + facts[2].receptive_field // 2 / 2
    assert output.halo >= least
    assert output.halo % output.multiple_of == 0
    assert output.halo <= least + 3 * output.multiple_of


@pytest.mark.parametrize("blind", [{"sigma": "auto"}, {}])
def test_what_looks_at_the_whole_image_has_no_halo(blind):
    graph = chain(part(kind="unet_denoiser", width=4, **blind), part(kind="median"))
    (output,) = form(graph.build(), (), uint8=False, where="x").outputs
    assert output.halo is None


def test_least_size_and_channels():
    graph = chain(part(kind="bicubic", scale=2), part(kind="small_convnet", weights="signs-standard-v1"))
    made = form(graph.build(), (), uint8=True, where="x")
    assert (made.input.minimum, made.input.channels) == (4, 3)
    assert (made.input.layout, made.input.dtype) == ("NHWC", "uint8")
    assert made.classes[0] == "stop"
    grey = form(
        chain(part(kind="unet_denoiser", weights="denoise-gray-v1")).build(), (), uint8=False, where="x"
    )
    assert grey.input.channels == 1
    assert grey.classes == ()


def test_stored_images_go_in_and_come_out(graph):
    system = graph.build()
    module = Deployable(system, form(system, ("both",), uint8=True, where="x"))
    pixels = torch.from_numpy(Rng(3).numpy().integers(0, 256, (2, 21, 18, 3)).astype(np.uint8))
    x = pixels.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits, image = module(pixels)
        values = system.trace(x)
    assert torch.allclose(logits, values["out"], atol=1e-6)
    assert image.dtype == torch.uint8
    assert torch.equal(image, stored(values["both"]))
    assert torch.equal(stored(x), pixels)


def test_images_are_three_sets_that_share_none():
    found = gather(Signs(count=40), calibration=30, measured=60)
    sets = [{s.id for s in part} for part in (found.look, found.calibration, found.measured)]
    assert [len(s) for s in sets] == [3, 18, 19]
    assert not (sets[0] & sets[1])
    assert not (sets[1] & sets[2])
    assert not (sets[0] & sets[2])
    assert found.labelled
    assert found.size == (64, 64)
    drawn = gather(None)
    assert not drawn.labelled
    assert not drawn.own


def test_corruptions_take_images_of_any_size():
    small = Sample("a", np.full((5, 9, 3), 120, np.uint8), 1)
    for corruption in CORRUPTIONS:
        changed = corrupted(small, corruption)
        assert changed.image.shape == (5, 9, 3)
        assert changed.truth == 1


def test_adversarial_images_stay_in_their_ball_and_raise_the_loss(graph):
    system = graph.build()
    x = torch.rand(3, 3, 20, 24, generator=Rng(5).torch())
    moved, how = adversarial(system, x)
    assert "PGD" in how
    assert (moved - x).abs().max() <= 8 / 255 + 1e-6
    assert 0 <= moved.min() <= moved.max() <= 1
    with torch.no_grad():
        first = system(x)
        loss = [torch.nn.functional.cross_entropy(system(each), first.argmax(1)) for each in (x, moved)]
    assert loss[1] > loss[0]
    images_only = chain(part(kind="gamma", gamma=0.8)).build()
    moved, _ = adversarial(images_only, x)
    assert (moved - x).abs().max() > 0.02


def found(made, logits, expected) -> Difference:
    difference = Difference()
    difference.add(made, [np.array(logits)], [np.array(expected)])
    return difference


def test_what_counts_as_agreement(graph):
    made = form(graph.build(), (), uint8=False, where="x")
    assert found(made, [[1.00005, 0.0]], [[1.0, 0.0]]).agrees(made)
    assert not found(made, [[1.0002, 0.0]], [[1.0, 0.0]]).agrees(made)
    # Relative to the largest logit where that exceeds 1.
    assert found(made, [[50.002, 0.0]], [[50.0, 0.0]]).agrees(made)
    # A prediction that differs never passes, however close the logits are.
    tie = found(made, [[0.5, 0.500001]], [[0.500001, 0.5]])
    assert not tie.agrees(made)
    assert not found(made, [[np.nan, 0.0]], [[1.0, 0.0]]).agrees(made)
    agreement = Agreement(made, ((8, 8),), (1,), "none", {"clean": tie})
    assert "1 of 1 predictions differ" in agreement.complaint()
    assert not agreement.to_json()["agrees"]
    with pytest.raises(RunError, match="shape"):
        found(made, [[1.0, 0.0, 0.0]], [[1.0, 0.0]])


def test_rounding_to_levels_is_no_difference(graph):
    system = chain(part(kind="gamma", gamma=0.8)).build()
    made = form(system, (), uint8=True, where="x")
    truth = np.array([0.1, 0.5, 0.9]).reshape(1, 1, 1, 3)
    levels = np.rint(truth * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    for off, agrees in ((0, True), (1, False)):
        difference = Difference()
        difference.add(made, [(levels + off).astype(np.uint8)], [truth])
        assert difference.agrees(made) is agrees


@pytest.mark.slow
def test_half_keeps_what_is_around_the_networks(traced):
    model, _, made = traced
    inside = networks(onnx.load_from_string(model))
    changed = onnx.load_from_string(half(model))
    onnx.checker.check_model(changed)
    operators = {node.op_type for node in changed.graph.node if node.name in inside}
    assert "Conv" in operators
    assert "Pow" not in operators
    x = torch.rand(1, 3, 19, 22, generator=Rng(2).torch())
    before, after = Runner(model, made.input)(x), Runner(half(model), made.input)(x)
    assert [a.dtype for a in after] == [np.float32, np.float32]
    assert np.array_equal(before[1], after[1])
    assert 0 < np.abs(before[0] - after[0]).max() < 0.01


@pytest.mark.slow
def test_int8_is_near_and_measured_in_pairs(traced, coloured):
    model, _, made = traced
    images = gather(coloured, calibration=10, measured=16)
    small = int8(model, made, images.calibration, "minmax")
    before = Runner(model, made.input)
    cost = costs(before, Runner(small, made.input), made, images)
    assert cost["lost"] <= 0.1
    assert cost["conditions"]["clean"]["same_class"]["of"] == 16
    same = costs(before, before, made, images)
    assert same["lost"] == 0.0
    low, high = same["conditions"]["clean"]["accuracy"]["interval"]
    assert low == -high < 0, "16 equal answers do not prove that the next one is"
    assert same["conditions"]["clean"]["dB between both"] == 100.0


@pytest.mark.slow
def test_metadata_of_the_exporter_is_taken_out(traced, graph):
    from clearsight.pipelines.export.manifest import described

    model, _, made = traced
    clean = onnx.load_from_string(labelled(model, described(graph, "x", made, "fp32")))
    assert [each.key for each in clean.metadata_props] == [KEY]
    assert not any(node.metadata_props for node in clean.graph.node)


def test_options_are_checked(graph, tmp_path):
    with pytest.raises(ConfigError, match="opset 9"):
        export(graph, tmp_path, options=Options(opset=9))


@pytest.mark.slow
def test_the_command(ready, graph, coloured, code, tmp_path, capsys):
    config = {
        "task": "evaluate",
        "name": "toy",
        "data": {"kind": "folder", "path": coloured.path},
        "parts": {name: spec.model_dump(mode="json") for name, spec in graph.parts.items()},
        "systems": {
            "twice": {
                step.name: {
                    "use": step.part_name,
                    "of": step.inputs[0] if len(step.inputs) == 1 else list(step.inputs),
                }
                for step in graph.steps
            },
            "plain": ["classify"],
        },
        "conditions": {"clean": {"kind": "identity"}},
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(config))
    out = tmp_path / "deploy"
    app(["export", str(path), "-o", str(out), "--system", "twice", "--taps", "both"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "twice.onnx" in said
    assert "any size" in said
    assert (out / "twice.onnx").is_file()
    small = ["--system", "twice", "--variant", "int8", "--taps", "both", "--measured", "20"]
    app(["export", str(path), "-o", str(out), *small], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert (out / "twice-int8.onnx").is_file()
    assert "histogram" not in said
    for words in (
        "int8 on clean images: accuracy ",
        "same class ",
        " % of 20",
        "int8 on gaussian_noise images",
    ):
        assert words in said
    for arguments, error in (
        (["--system", "once"], "no system 'once'"),
        (["--variant", "int4"], "unknown variant 'int4'"),
        (
            ["--system", "plain", "--unrestored"],
            "--unrestored: no system restores images before it classifies",
        ),
    ):
        with pytest.raises(ConfigError, match=error):
            app(["export", str(path), "-o", str(tmp_path / "no"), *arguments], standalone_mode=False)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_the_part_that_cannot_be_traced_is_named(code, tmp_path):
    graph = chain(part(kind="gamma"), part(kind="python", call=f"{code}:reading", classes=3))
    with pytest.raises(RunError, match=r"system 'x', part '.*python.*': torch cannot export it") as error:
        export(graph, tmp_path / "drawn", name="x")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "drawn").exists()


@pytest.mark.slow
def test_a_part_of_one_size_gives_a_file_of_that_size(code, coloured, tmp_path):
    graph = chain(part(kind="python", call=f"{code}:baked", classes=3))
    said: list[Any] = []
    done = export(graph, tmp_path, source=coloured, say=said.append)
    taken = done.manifest["deployed"]["input"]
    assert (taken["height"], taken["width"], taken["batch"]) == (32, 32, None)
    assert any("free sizes do not work" in line for line in said)
    images = SampleImages("none", False, gather(coloured).look, (), ())
    assert images.size == (32, 32)
    with pytest.raises(RunError, match="torch cannot export"):
        export(graph, tmp_path / "drawn")
    assert not (tmp_path / "drawn").exists()


LEAST = """
import torch
from torch import nn


class Least(nn.Module):
    def __init__(self, least, fixed=False):
        super().__init__()
        self.least, self.fixed, self.head = least, fixed, nn.Linear(3, 3)

    def forward(self, x):
        sizes = x.shape[-2:]
        if min(sizes) < self.least or (self.fixed and tuple(sizes) != (32, 32)):
            raise RuntimeError(f"Calculated padded input size per channel: {tuple(sizes)}")
        return self.head(x.mean((2, 3)))
"""


@pytest.mark.parametrize("least", [1, 24, 50])
def test_the_least_size_of_a_users_network_is_found_by_trying(least, tmp_path):
    (tmp_path / "least.py").write_text(LEAST)
    spec = part(kind="python", call=f"{tmp_path}/least.py:Least", classes=3, arguments={"least": least})
    made = form(chain(spec).build(), (), uint8=False, where="toy")
    assert made.input.minimum == {1: 1, 24: 24, 50: 64}[least]
    sizes = verify._sizes(made.input)
    assert min(min(size) for size in sizes) >= least
