"""Input gradients: exact, on one scale, the same each time, and no obstacle where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import Gradient
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.input_gradients import colours, input_gradient, keep_gradients
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.restore.base import RestorerSpec
from clearsight.restore.classical.gamma import Gamma

CLASSIFY = PythonClassifier(call="toy:brightest", classes=3)
ATTACKED = {
    "attacks": {"none": {"kind": "none"}, "fgsm": {"kind": "fgsm", "eps": 0.2}},
    "measure": [{"conditions": ["clean"], "attacks": ["none", "fgsm"]}],
}


class Sealed(RestorerSpec):
    """Lets no gradient through, and says so."""

    kind: Literal["sealed"] = "sealed"
    gradient: ClassVar[Gradient] = Gradient.BLOCKED

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return x.detach()


def sample(label: int = 1) -> Sample:
    return Sample("toy/1", Rng(1).at("sample").numpy().integers(60, 200, (6, 5, 3)).astype(np.uint8), label)


def test_it_is_the_gradient_of_the_loss_through_the_whole_system() -> None:
    gamma = Gamma(gamma=2.0)
    found = input_gradient(System(chain(gamma, CLASSIFY)), sample(), name="toy")
    x = to_tensor([sample().image]).requires_grad_(True)
    system = System(chain(gamma, CLASSIFY))
    (wanted,) = torch.autograd.grad(nn.functional.cross_entropy(system(x), torch.tensor([1])), x)
    assert found.shape == (3, 6, 5)
    torch.testing.assert_close(found, wanted[0])
    assert (found[1] < 0).all(), "more of the true channel lowers the loss"
    assert (found[0] > 0).all()


def test_a_system_without_a_gradient_says_so() -> None:
    with pytest.raises(AttackError, match="lets none through"):
        input_gradient(System(chain(Sealed(), CLASSIFY)), sample(), name="toy")
    with pytest.raises(AttackError, match="no class 7"):
        input_gradient(System(chain(CLASSIFY)), sample(7), name="toy")


def test_grey_is_zero_and_the_99th_percentile_has_full_colour() -> None:
    gradient = torch.zeros(1, 10, 20)
    gradient[0, 0, 0], gradient[0, 0, 1] = 5.0, -1.0
    gradient[0, 1] = torch.linspace(-0.5, 0.5, 20)
    image, scale = colours(gradient)
    assert scale == pytest.approx(float(torch.quantile(gradient.abs(), 0.99)))
    levels = (image * 255).round().to(torch.int64)
    assert levels[0, 5, 5] == 128
    assert levels[0, 0, 0] == 255
    assert levels[0, 0, 1] == 1
    assert levels[0, 1, 19] - 128 == 128 - levels[0, 1, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_the_image_does_not_depend_on_the_size_of_the_gradient(seed: int, factor: float) -> None:
    gradient = torch.randn(3, 7, 9, generator=Rng(seed).at("g").torch())
    first, scale = colours(gradient)
    second, other = colours(gradient * factor)
    assert other == pytest.approx(scale * factor, rel=1e-5)
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    mirrored, _ = colours(-gradient)
    torch.testing.assert_close(first + mirrored, torch.full_like(first, 256 / 255))


def test_no_gradient_at_all_is_grey() -> None:
    image, scale = colours(torch.zeros(3, 4, 4))
    assert scale == 0
    assert set((image * 255).round().flatten().tolist()) == {128}


def entries_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "images" / "gradients.json").read_text())
    return found


@pytest.mark.slow
def test_a_run_with_attacks_keeps_them_and_shows_them(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(**ATTACKED)
    folder = run(config, root=tmp_path / "runs", workers=1).path
    entries = entries_of(folder)
    assert [e["system"] for e in entries] == ["plain", "restored"] * 2
    assert entries[0]["sample"] == entries[1]["sample"] != entries[2]["sample"]
    for entry in entries:
        assert entry["why"] is None
        assert entry["scale"] > 0
        with Image.open(folder / "images" / entry["file"]) as shown:
            assert shown.size == (24, 20)
            pixels = np.asarray(shown.convert("RGB"), dtype=np.int64)
        if entry["system"] == "plain":
            # The toy takes channel means: its gradient is flat, and negative where the class is the channel.
            assert (pixels[..., entry["label"]] < 128).all()
            assert (np.delete(pixels, entry["label"], axis=2) > 128).all()
        assert (folder / "images" / entry["input"]).is_file()
    page = (folder / "report.html").read_text()
    assert '<section id="gradients">' in page
    assert "full colour at" in page
    again = run(config, root=tmp_path / "again", workers=1).path
    for path in (folder / "images").glob("gradient*"):
        assert (again / "images" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_a_damaged_index_is_written_again(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(**ATTACKED)
    folder = run(config, root=tmp_path / "runs", workers=1).path
    images = {path: path.read_bytes() for path in (folder / "images").glob("gradient*")}
    plan = prepare(config, root=tmp_path / "runs", device="cpu")
    (folder / "images" / "gradients.json").write_text("[]\n")
    keep_gradients(plan)
    assert {path: path.read_bytes() for path in images} == images


@pytest.mark.parametrize("changes", [{}, {**ATTACKED, "images": 0}], ids=["no-attack", "no-images"])
def test_nothing_is_kept_where_nothing_is_wanted(
    make_config: Callable[..., Evaluate], tmp_path: Path, changes: dict[str, Any]
) -> None:
    plan = prepare(make_config(**changes), root=tmp_path / "runs", device="cpu")
    keep_gradients(plan)
    assert not (plan.job.folder.path / "images").exists()


def test_a_system_that_lets_none_through_does_not_spoil_the_run(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    parts = {
        "stuck": {"kind": "python", "call": "test_input_gradients:stuck", "classes": 3},
        "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
        "broken": {"kind": "python", "call": "test_input_gradients:broken", "classes": 3},
    }
    systems = {"plain": ["classify"], "stuck": ["stuck"], "broken": ["broken"]}
    attacks = {"none": {"kind": "none"}, "square": {"kind": "square", "eps": 0.1, "queries": 2}}
    config = make_config(
        parts=parts,
        systems=systems,
        attacks=attacks,
        conditions={"clean": {"kind": "identity"}},
        measure=[{"conditions": ["clean"], "attacks": ["none", "square"]}],
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    found = {entry["system"]: entry for entry in entries_of(folder)}
    assert found["plain"]["file"]
    assert found["stuck"]["file"] is None
    assert "none comes through" in found["stuck"]["why"]
    assert "backward pass failed: no way back" in found["broken"]["why"]
    page = (folder / "report.html").read_text()
    assert page.count("no gradient</span>") == 4
    assert (folder / "DONE").exists()


class Stuck(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach().mean((2, 3))


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        raise RuntimeError("no way back\nat all")


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = NoWayBack.apply(x)
        return out.mean((2, 3))


def stuck() -> nn.Module:
    return Stuck()


def broken() -> nn.Module:
    return Broken()
