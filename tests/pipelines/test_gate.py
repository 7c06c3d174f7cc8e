"""Gates in a system: what goes through, what an attack sees of the choice, and means of predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import SENSE, find
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.pipelines.evaluation.results import _part
from clearsight.pipelines.systems.fusion.mean_logits import MeanLogits
from clearsight.pipelines.systems.fusion.mean_probabilities import MeanProbabilities
from clearsight.pipelines.systems.gates.damage_gate import DamageGate
from clearsight.pipelines.systems.gates.noise_gate import NoiseGate
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.graph import Graph, Node, wire
from clearsight.pipelines.systems.slopes import slopes
from clearsight.restore.classical.gamma import Gamma

HALF = 0.05
"""Noise level of the second half of `images`, and more than the threshold."""


def graph(gate: NoiseGate) -> Graph:
    parts = {
        "bright": Gamma(gamma=0.5),
        "gate": gate,
        "classify": PythonClassifier(call="toy:brightest", classes=3),
    }
    nodes = {
        "clear": Node(use="bright"),
        "chosen": Node(use="gate", of=("image", "clear")),
        "out": Node(use="classify", of="chosen"),
    }
    return wire(nodes, parts)


def images() -> Tensor:
    """Return four images: two smooth, two noisy."""
    smooth = torch.linspace(0.2, 0.8, 32).expand(4, 3, 32, 32).clone()
    smooth[2:] += HALF * torch.randn((2, 3, 32, 32), generator=Rng(1).torch())
    return smooth.clamp(0, 1)


def test_only_noisy_images_are_restored() -> None:
    values = graph(NoiseGate(threshold=HALF / 2)).build().trace(images())
    assert torch.equal(values["chosen"][:2], values["image"][:2])
    assert torch.equal(values["chosen"][2:], values["clear"][2:])


def test_an_attack_keeps_the_values_and_sees_the_choice() -> None:
    system = graph(NoiseGate(threshold=HALF / 2)).build()
    x = images()
    path = find_path(system, x)
    assert path.how["gate"] == "surrogate"
    assert not path.broken
    assert "gate" not in slopes(system, x, [Rng(0).at(i) for i in range(4)], path)
    leaf = x.clone().requires_grad_()
    values = system.trace(leaf, stand_ins=path.stand_ins)
    assert torch.equal(values["chosen"], system.trace(x)["chosen"])
    # Both ways are open, and so is the choice: more noise would restore the smooth ones, too.
    (gradient,) = torch.autograd.grad(values["chosen"].mean(dim=(1, 2, 3)).sum(), leaf)
    (plain,) = torch.autograd.grad(system.trace(leaf)["chosen"].mean(dim=(1, 2, 3)).sum(), leaf)
    assert gradient.isfinite().all()
    assert torch.allclose(plain[:2], torch.full_like(plain[:2], plain[0, 0, 0, 0].item()))
    assert (gradient - plain).abs().flatten(1).amax(dim=1).min() > 1e-8


def test_a_gate_wants_the_image_and_what_became_of_it() -> None:
    gate = NoiseGate().build()
    with pytest.raises(ConfigError, match="noise_gate: chooses among 2 images, and is fed 3"):
        gate(*[images()] * 3)


def test_results_name_the_weights_that_a_gate_asks() -> None:
    asked = _part("gate", DamageGate(), 1)
    assert asked.weights == SENSE
    assert asked.sha256 == find(SENSE).sha256
    assert (_part("gate", NoiseGate(), 0).weights, _part("bright", Gamma(), 0).sha256) == (None, None)


def test_arithmetic_and_geometric_mean_of_two_predictions() -> None:
    chances = [torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])]
    logits = [each.log() + shift for each, shift in zip(chances, (3.0, -2.0), strict=True)]
    arithmetic = MeanProbabilities().build()(*logits)
    assert torch.allclose(arithmetic.softmax(1), (chances[0] + chances[1]) / 2)
    assert torch.allclose(arithmetic.exp().sum(1), torch.ones(1))
    geometric = MeanLogits().build()(*logits).softmax(1)
    product = (chances[0] * chances[1]).sqrt()
    assert torch.allclose(geometric, product / product.sum())
    # The two disagree: a branch that is sure that a class is wrong has a veto in the geometric mean.
    veto = [torch.tensor([[0.6, 0.4]]).log(), torch.tensor([[0.001, 0.999]]).log()]
    assert MeanProbabilities().build()(*veto).softmax(1)[0, 0] > 0.3
    assert MeanLogits().build()(*veto).softmax(1)[0, 0] < 0.05


@pytest.fixture(autouse=True)
def _toys_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
