"""Values that are not finite: one rule everywhere. The image is named and refused, or the command ends.

Each test is one place where such a value used to become a class, a figure, a pixel or a line of JSON.
"""

from __future__ import annotations

import ast
import asyncio
import json
import struct
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
import pytest
import torch
from asking import ask
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from training_toy import CARD, signs
from typer.testing import CliRunner

from clearsight.data.contract.column import Column
from clearsight.data.contract.deployed import KEY, Deployed, Input, Output
from clearsight.data.contract.errors import ClearsightError, DataError, RunError, WeightsError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import first_non_finite, refuse_non_finite
from clearsight.data.media.images import encode_png
from clearsight.data.weights import save
from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.target import AttackBatch, Target
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.export.verify import Difference
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.serving.app import create_app
from clearsight.pipelines.serving.limits import Limits
from clearsight.pipelines.serving.middleware import LOCAL
from clearsight.pipelines.serving.models import models
from clearsight.pipelines.serving.service import InferenceService
from clearsight.pipelines.training.loop import train
from clearsight.pipelines.training.scoring import score
from clearsight.restore.base import RestorerSpec
from clearsight.restore.quality.niqe import niqe
from clearsight.restore.quality.psnr_ssim import luminance, psnr, ssim
from clearsight.restore.quality.super_resolution import y_psnr

ROOT = Path(__file__).resolve().parents[2]
BAD = [float("nan"), float("inf"), float("-inf")]
runner = CliRunner()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_first_image_with_a_bad_value_is_named(bad: float, kind: str) -> None:
    values = np.zeros((4, 2, 3), np.float32)
    given: Any = torch.from_numpy(values) if kind == "torch" else values
    assert first_non_finite(given) is None
    values[2, 1, 0] = values[3] = bad
    assert first_non_finite(given) == 2
    with pytest.raises(DataError, match="the logits are not finite for image 'c'"):
        refuse_non_finite(given, "the logits are", "abcd")
    with pytest.raises(DataError, match="the logits are not finite for image 3 of 4"):
        refuse_non_finite(given, "the logits are")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_values_whose_sum_overflows_are_finite_and_infinities_that_cancel_are_not(
    dtype: str, kind: str
) -> None:
    values = np.full((3, 400), np.finfo(dtype).max, dtype)
    given: Any = torch.from_numpy(values) if kind == "torch" else values
    assert first_non_finite(given) is None
    if kind == "torch":
        assert first_non_finite(torch.zeros(2, 3, requires_grad=True)) is None
    values[1, 0], values[1, 1] = np.inf, -np.inf
    assert first_non_finite(given) == 1
    values[1], values[0], values[2, :2] = 0, 0, [np.inf, -np.inf]
    assert first_non_finite(given) == 2
    with pytest.raises(DataError, match="the logits are not finite;"):
        refuse_non_finite(given[2:3], "the logits are")


def dividing(path: Path, gives: str) -> Path:
    """Write a file that divides by the mean of the image: 0/0 or 1/0 on a black one."""
    image = gives.startswith("image")
    top = "images" if gives.endswith("nan") else "one"
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Div", [top if image else "means" if top == "images" else "one", "means"], ["raw"]),
        helper.make_node("Add", ["raw", "zeros"], ["restored"])
        if image
        else helper.make_node("Flatten", ["raw"], ["logits"]),
    ]
    if image:
        nodes.insert(0, helper.make_node("Mul", ["images", "zero"], ["zeros"]))
    constants = [
        numpy_helper.from_array(np.array(1, np.float32), "one"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    shape: list[str | int | None] = ["n", 3, "h", "w"]
    output = (
        helper.make_tensor_value_info("restored", TensorProto.FLOAT, shape)
        if image
        else helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])
    )
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "dividing", [given], [output], constants if image else constants[:1])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    told = Deployed(
        name="dividing",
        chain="image -> divide",
        variant="fp32",
        input=Input("images", "NCHW", "float32", 3),
        outputs=(Output("restored", "image", halo=None) if image else Output("logits", "logits"),),
        classes=() if image else ("red", "green", "blue"),
    )
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, told.to_json()
    onnx.save(model, str(path))
    return path


def stored_images(folder: Path) -> Path:
    folder.mkdir()
    bright = np.full((16, 16, 3), 200, np.uint8)
    for name, image in (("a", bright), ("black", 0 * bright), ("c", bright // 2)):
        (folder / f"{name}.png").write_bytes(encode_png(image))
    return folder


@pytest.mark.parametrize("gives", ["logits nan", "logits inf"])
def test_infer_refuses_the_image_and_goes_on(tmp_path: Path, gives: str) -> None:
    model = dividing(tmp_path / "m.onnx", gives)
    table = tmp_path / "t.csv"
    done = runner.invoke(app, ["infer", str(model), str(stored_images(tmp_path / "in")), "--csv", str(table)])
    assert done.exit_code == 1
    assert "black.png: output 'logits' is not finite" in " ".join(done.stderr.split())
    lines = table.read_text().splitlines()
    assert [line.split(",")[0].rpartition("/")[2] for line in lines[1:]] == ["a.png", "c.png"]
    assert "nan" not in table.read_text()
    assert "inf" not in table.read_text()


@pytest.mark.parametrize("gives", ["image nan", "image inf"])
def test_infer_writes_no_image_of_such_values(tmp_path: Path, gives: str) -> None:
    model = dividing(tmp_path / "m.onnx", gives)
    out = tmp_path / "out"
    done = runner.invoke(
        app, ["infer", str(model), str(stored_images(tmp_path / "in")), "--save-restored", str(out)]
    )
    assert done.exit_code == 1, done.output
    assert "black.png: output 'restored' is not finite" in " ".join(done.stderr.split())
    assert sorted(path.name for path in out.iterdir() if path.suffix == ".png") == ["a.png", "c.png"]


@pytest.mark.parametrize("gives", ["logits nan", "logits inf", "image nan", "image inf"])
def test_a_session_names_the_image(tmp_path: Path, gives: str) -> None:
    session = Session(dividing(tmp_path / "m.onnx", gives))
    images = np.zeros((3, 8, 8, 3), np.uint8)
    images[:2] = 90
    with pytest.raises(DataError, match="not finite for image 3 of 3"):
        session.run(images)
    session.run(images[:2])


@pytest.mark.parametrize("gives", ["logits nan", "logits inf"])
def test_serve_answers_422(tmp_path: Path, gives: str) -> None:
    service = InferenceService(models([Session(dividing(tmp_path / "m.onnx", gives))]), Limits())
    server = create_app(service, 2, LOCAL)
    try:
        black, bright = (encode_png(np.full((16, 16, 3), level, np.uint8)) for level in (0, 200))
        answer = asyncio.run(ask(server, "/v1/predict", black))
        assert answer.status == 422
        assert "not finite" in answer.json["error"]["what"]
        assert asyncio.run(ask(server, "/v1/predict", bright)).status == 200
    finally:
        service.close()


class Overflowing(RestorerSpec):
    """Infinite where an image is black; NaN, if so asked."""

    kind: Literal["overflowing"] = "overflowing"
    numerator: float = 1.0

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return x + (self.numerator / x.mean((1, 2, 3), keepdim=True)) * 1e-9


@pytest.mark.parametrize("numerator", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_restore_makes_no_white_of_an_overflow(numerator: float, kind: str) -> None:
    from clearsight.pipelines.restoring.chain import Chain, Step
    from clearsight.pipelines.restoring.worker import Worker

    step = Step(Overflowing(numerator=numerator), estimate=False)
    worker = Worker(Chain(("x",), None, (step,), (step,)), None, "cpu")
    black = np.zeros((8, 8, 3), kind)
    with pytest.raises(DataError, match="what overflowing gives is not finite"):
        worker(black)
    assert np.array_equal(worker(black + 9), black + 9)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    "measure", [psnr, ssim, lambda a, b: y_psnr(a, b, 2), lambda a, b: psnr(luminance(a), luminance(b))]
)
def test_full_reference_metrics_refuse_it(measure: Any, side: int, bad: float) -> None:
    pair = [torch.rand(3, 3, 24, 24, generator=Rng(0).torch()) for _ in range(2)]
    pair[side][1, 0, 5, 5] = bad
    with pytest.raises(DataError, match="image 2 of 3"):
        measure(*pair)


@pytest.mark.parametrize("bad", BAD)
def test_niqe_refuses_it(bad: float) -> None:
    images = torch.rand(2, 3, 96, 96, generator=Rng(0).torch())
    images[1, 2, 3, 4] = bad
    with pytest.raises(DataError, match="image 2 of 2"):
        niqe(images)


class Share(Metric):
    """A figure that is 0/0 where nothing is right."""

    kind: Literal["share_of_none"] = "share_of_none"
    columns: ClassVar[tuple[Column, ...]] = (Column(name="correct", label="x"),)
    value: float = float("inf")

    def estimate(self, rows: Any, rng: Rng) -> Estimate:
        return Estimate(self.value, 0.0, 1.0, "none")


@pytest.mark.parametrize("bad", BAD)
def test_a_figure_that_is_not_finite_ends_the_summary(bad: float) -> None:
    metric = Share.model_construct(value=bad)
    with pytest.raises(DataError, match="metric 'share_of_none'"):
        metric({"correct": np.ones(3)}, Rng(0))


class Dividing(nn.Module):
    """Logits that are not finite for black images."""

    def __init__(self, numerator: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))
        self.numerator = numerator

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return means + self.bias + self.numerator / means.sum(1, keepdim=True)


@pytest.mark.parametrize("numerator", [0.0, 1.0])
def test_validation_in_training_names_the_image(numerator: float) -> None:
    from clearsight.pipelines.training.image_set import ImageSet

    images = torch.full((4, 8, 8, 3), 90, dtype=torch.uint8)
    images[2] = 0
    part = ImageSet(images, torch.zeros(4, dtype=torch.int64), ("a", "b", "c", "d"), "key")
    with pytest.raises(DataError, match=r"the model's logits are not finite for image 'c'.*optimiser.rate"):
        score(Dividing(numerator), part, "cpu", batch=2)


@pytest.mark.slow
def test_training_ends_at_an_infinite_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "clearsight.defend.training.standard.Standard.cross_entropy",
        lambda self, logits, labels: logits.sum() * 0 + float("inf"),
    )
    with pytest.raises(RunError, match="the loss is not finite at step 0"):
        train(signs(), device="cpu", folder=tmp_path / "run")
    assert not list((tmp_path / "run").glob("weights*"))


@pytest.mark.parametrize("bad", [*BAD, 70_000.0])
def test_weights_that_cannot_be_stored_are_not_published(tmp_path: Path, bad: float) -> None:
    with pytest.raises(WeightsError, match="tensor 'w' is not finite in torch.float16"):
        save(tmp_path / "w", {"w": torch.tensor([1.0, bad])}, CARD | {"id": "x", "spec": {}})
    assert not (tmp_path / "w").exists()


class Restless(BallAttack):
    """An attack that divides by zero for the image called b."""

    kind: Literal["restless"] = "restless"
    bad: float = 0.0

    def passes(self, classes: int) -> tuple[int, int]:
        return 1, 0

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        scale = torch.tensor([self.bad if name == "b" else 1.0 for name in batch.ids])
        return batch.images * scale.view(-1, 1, 1, 1)


class Plain:
    """A target that is right about everything."""

    classes = 3

    def logits(self, images: Tensor, rows: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), 3)


@pytest.mark.parametrize("bad", BAD)
def test_an_adversarial_image_of_such_values_is_named(bad: float) -> None:
    batch = AttackBatch(
        torch.full((3, 3, 8, 8), 0.5), torch.zeros(3, dtype=torch.int64), ("a", "b", "c"), torch.arange(3)
    )
    attack = Restless.model_construct(bad=bad, norm="linf", eps=0.1)
    target: Any = Plain()
    with pytest.raises(DataError, match="restless: it returned images that are not finite for image 'b'"):
        attack(target, batch, Rng(0))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("side", ["file", "system"])
def test_an_export_agrees_with_nothing_that_is_not_finite(bad: float, side: str) -> None:
    class Form:
        input = Input("images", "NCHW", "float32", 3)
        outputs = (Output("logits", "logits"),)

    plain = np.array([[3.0, 1.0, 0.0]], np.float32)
    broken = np.array([[3.0, bad, 0.0]], np.float32)
    form: Any = Form()
    difference = Difference()
    difference.add(form, [broken if side == "file" else plain], [broken if side == "system" else plain])
    assert not difference.finite
    assert not difference.agrees(form)


def test_the_cost_of_a_variant_names_the_image() -> None:
    from clearsight.data.contract.sample import Sample
    from clearsight.pipelines.export.cost import costs
    from clearsight.pipelines.export.sample_images import SampleImages

    class Form:
        input = Input("images", "NCHW", "float32", 3)
        outputs = (Output("logits", "logits"),)

    def before(x: Tensor) -> list[Any]:
        return [x.mean((2, 3)).numpy()]

    def after(x: Tensor) -> list[Any]:
        means = x.mean((2, 3)).numpy()
        with np.errstate(all="ignore"):
            return [means / means]

    samples = tuple(
        Sample(name, np.full((32, 32, 3), level, np.uint8), 0) for name, level in (("a", 90), ("black", 0))
    )
    images = SampleImages("here", own=True, look=(), calibration=(), measured=samples)
    form, first, second = Form(), before, after
    with pytest.raises(DataError, match=r"of the converted file is not finite for image 'black'.*fp32"):
        costs(first, second, form, images)  # type: ignore[arg-type]


def test_every_writer_of_json_refuses_such_values() -> None:
    """NaN is no JSON: without ``allow_nan=False`` Python writes it all the same."""
    loose = []
    for room in ("data", "restore", "defend", "pipelines"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if "json.dump" not in (text := path.read_text(encoding="utf-8")):
                continue
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.Call) or ast.unparse(node.func) not in (
                    "json.dumps",
                    "json.dump",
                ):
                    continue
                strict = {each.arg: ast.unparse(each.value) for each in node.keywords}.get("allow_nan")
                if strict != "False":
                    loose.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not loose, f"json.dumps without allow_nan=False: {loose}"
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps({"x": struct.unpack("f", b"\x00\x00\x80\x7f")[0]}, allow_nan=False)


def test_errors_are_of_this_project() -> None:
    assert issubclass(DataError, ClearsightError)
