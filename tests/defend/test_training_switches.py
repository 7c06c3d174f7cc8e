"""What any method can be combined with: weight perturbation, local linearity, label smoothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import training_toys as toys
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.search.linearity import linearity_gap
from clearsight.defend.search.modes import attacked, unrecorded
from clearsight.defend.training.adversarial import Adversarial
from clearsight.defend.training.augmix import AugMix
from clearsight.defend.training.fat import FAT
from clearsight.defend.training.fat_trades import FATTRADES
from clearsight.defend.training.free import Free
from clearsight.defend.training.gair_fat import GAIRFAT
from clearsight.defend.training.gairat import GAIRAT
from clearsight.defend.training.gaussian import Gaussian
from clearsight.defend.training.mart import MART
from clearsight.defend.training.noilin import Noilin
from clearsight.defend.training.standard import Standard
from clearsight.defend.training.trades import TRADES
from clearsight.defend.training.weight_perturbation import WeightPerturbation

EPS, SIZE = 0.2, 0.04
BALL: dict[str, Any] = {"eps": EPS, "step_size": SIZE, "steps": 2}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "standard": (Standard, {}),
    "gaussian": (Gaussian, {}),
    "adversarial": (Adversarial, BALL),
    "trades": (TRADES, BALL),
    "mart": (MART, BALL),
    "fat": (FAT, BALL),
    "fat_trades": (FATTRADES, BALL),
    "gairat": (GAIRAT, BALL),
    "gair_fat": (GAIRFAT, BALL),
    "noilin": (Noilin, BALL),
    "free": (Free, {"eps": EPS, "replays": 2}),
}
every = pytest.mark.parametrize(("kind", "fields"), KINDS.values(), ids=KINDS.keys())


def at(model: nn.Module, moves: dict[str, Tensor], sign: float = 1.0) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in moves:
                parameter.add_(sign * moves[name])


def uphill(model: toys.Tiny, loss: Tensor, gamma: float) -> dict[str, Tensor]:
    """Return gamma ||w|| g / ||g|| of each layer's weights (Wu et al. 2020, equations 9 and 10)."""
    named = {name: each for name, each in model.named_parameters() if each.dim() > 1}
    slopes = torch.autograd.grad(loss, list(named.values()))
    return {
        name: gamma * each.detach().norm() * slope / slope.norm()
        for (name, each), slope in zip(named.items(), slopes, strict=True)
    }


def test_awp_moves_each_layer_by_its_share_along_the_gradient() -> None:
    model, one = toys.tiny(), toys.batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = toys.tiny()
    wanted = uphill(other, cross_entropy(other(one.images), toys.labels_of(one)), 0.02)
    back = WeightPerturbation(gamma=0.02).perturb(
        model, lambda: cross_entropy(model(one.images), toys.labels_of(one))
    )
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    # Neither biases, nor the scale of the normalisation, nor its statistics.
    assert moved == ["conv.weight", "head.weight"]
    for name in moved:
        change = model.state_dict()[name] - before[name]
        assert change.norm().item() == pytest.approx(0.02 * before[name].norm().item(), rel=1e-6)
        assert torch.allclose(change, wanted[name], atol=1e-9)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.norm.track_running_stats
    after = cross_entropy(model(one.images), toys.labels_of(one))
    back()
    assert after > cross_entropy(model(one.images), toys.labels_of(one))
    assert all(torch.allclose(model.state_dict()[name], before[name], atol=1e-12) for name in moved)


def test_awp_leaves_frozen_and_unused_weights_alone() -> None:
    model, one = toys.tiny(), toys.batch()
    model.conv.weight.requires_grad_(False)
    model.unused = nn.Linear(3, 3).double()
    before = {name: value.clone() for name, value in model.named_parameters()}
    WeightPerturbation().perturb(model, lambda: cross_entropy(model(one.images), toys.labels_of(one)))
    moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert moved == ["head.weight"]


def test_a_whole_step_with_awp_against_a_loop_of_plain_torch() -> None:
    """w <- w - rate * gradient at w + v; v from the same attacked images."""
    method = Adversarial(awp=WeightPerturbation(gamma=0.02), **BALL)
    ours, theirs, one, rng = toys.tiny(), toys.tiny(), toys.batch(), Rng(5)
    (told,) = toys.optimised(method, ours, one, rng)
    x = toys.walk(
        theirs, one, toys.start_of(method.training_attack(), one, rng), eps=EPS, size=SIZE, steps=2
    ).images
    twin = toys.tiny()
    moves = uphill(twin, cross_entropy(twin(x), toys.labels_of(one)), 0.02)
    at(theirs, moves)
    loss = cross_entropy(theirs(x), toys.labels_of(one))
    slopes = torch.autograd.grad(loss, list(theirs.parameters()))
    at(theirs, moves, -1.0)
    with torch.no_grad():
        for parameter, slope in zip(theirs.parameters(), slopes, strict=True):
            parameter.sub_(toys.RATE * slope)
    assert told.item() == pytest.approx(loss.item(), abs=1e-9)
    toys.assert_same_weights(ours, theirs, atol=1e-9)
    # The pass that finds the perturbation leaves no trace in the statistics: one batch was recorded.
    assert int(ours.norm.get_buffer("num_batches_tracked")) == 1
    assert ours.modes == [False, False, True, True]
    assert torch.equal(ours.seen[-1], ours.seen[-2])


def test_awp_begins_when_it_is_told_to() -> None:
    method = Standard(awp=WeightPerturbation(after=0.5))
    passes = []
    for share in (0.0, 0.49, 0.5, 1.0):
        model = toys.tiny()
        toys.optimised(method, model, toys.batch(share=share), Rng(5))
        passes.append(len(model.forwards))
    assert passes == [1, 1, 2, 2]


@every
def test_awp_works_with_every_method_but_free(kind: Any, fields: dict[str, Any]) -> None:
    if kind is Free:
        with pytest.raises(ValidationError, match="free training does without"):
            Free(awp=WeightPerturbation())
        return
    plain, moved = (toys.tiny(), toys.tiny())
    low = toys.optimised(kind(**fields), plain, toys.batch(), Rng(5))
    high = toys.optimised(kind(awp=WeightPerturbation(gamma=0.05), **fields), moved, toys.batch(), Rng(5))
    # The perturbation raises the loss; the statistics record what they record without it.
    assert high[0] > low[0]
    assert torch.allclose(
        moved.norm.get_buffer("num_batches_tracked"), plain.norm.get_buffer("num_batches_tracked")
    )


class Planes(nn.Module):
    """Two classes; the loss of an image is a linear function of it where ``bend`` is 0.

    log(1 + exp(-z)) of a very wrong image is -z to double precision.
    """

    def __init__(self, bend: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(
            torch.linspace(-1, 1, 3 * toys.SIDE * toys.SIDE, dtype=torch.float64)[:, None]
        )
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        level = 60.0 + (x.flatten(1) @ self.slope)[:, 0] + self.bend * x.flatten(1).square().sum(1)
        return torch.stack([-level, level], dim=1)


def linear_case() -> tuple[Tensor, Tensor, Tensor]:
    one = toys.batch()
    moved = (one.images + 0.1 * torch.randn(one.images.shape, generator=Rng(2).torch())).clamp(0, 1)
    return one.images, moved, torch.zeros(len(moved), dtype=torch.int64)


def test_a_linear_loss_has_no_gap() -> None:
    images, moved, labels = linear_case()
    gap = linearity_gap(Planes(0.0), images, moved, labels)
    assert gap.shape == (12,)
    assert gap.abs().max().item() < 1e-10


def test_gap_of_a_parabola() -> None:
    """2 bend |x|^2 bends away from its tangent by 2 bend |moved - x|^2."""
    images, moved, labels = linear_case()
    for bend in (0.7, -0.7):
        gap = linearity_gap(Planes(bend), images, moved, labels)
        wanted = 2 * 0.7 * (moved - images).flatten(1).square().sum(1)
        assert torch.allclose(gap, wanted, atol=1e-9)


def test_gap_against_finite_differences() -> None:
    one, model = toys.batch(6), toys.tiny().eval()
    moved = (one.images + 0.2 * torch.randn(one.images.shape, generator=Rng(2).torch())).clamp(0, 1)
    change, step = moved - one.images, 1e-5

    def loss(x: Tensor) -> Tensor:
        return cross_entropy(model(x), toys.labels_of(one), reduction="none")

    rise = (loss(one.images + step * change) - loss(one.images - step * change)) / (2 * step)
    wanted = (loss(moved) - loss(one.images) - rise).abs()
    gap = linearity_gap(model, one.images, moved, toys.labels_of(one))
    assert torch.allclose(gap, wanted, atol=1e-6)
    assert wanted.min().item() > 1e-3


def test_gradient_of_the_gap_flows_to_the_weights() -> None:
    one, model = toys.batch(6), toys.tiny().eval()
    moved = (one.images + 0.2).clamp(0, 1)

    def gap() -> Tensor:
        return linearity_gap(model, one.images, moved, toys.labels_of(one)).mean()

    (slope,) = torch.autograd.grad(gap(), model.head.weight)
    direction, step = slope / slope.norm(), 1e-6
    ends = []
    for sign in (1.0, -1.0):
        at(model, {"head.weight": sign * step * direction})
        ends.append(gap().item())
        at(model, {"head.weight": -sign * step * direction})
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope.norm().item(), rel=1e-4)


def test_local_linearity_is_added_with_its_weight() -> None:
    found = {}
    for weight in (0.0, 1.0, 3.0):
        model, one = toys.tiny(), toys.batch()
        (loss,) = toys.losses(Adversarial(local_linearity=weight, **BALL), model, one, Rng(5))
        found[weight] = loss.item()
        assert int(model.norm.get_buffer("num_batches_tracked")) == 1
        assert model.norm.track_running_stats
    x = model.seen[2]
    gap = linearity_gap(toys.tiny(), one.images, x, toys.labels_of(one)).mean().item()
    assert found[1.0] - found[0.0] == pytest.approx(gap, abs=1e-9)
    assert found[3.0] - found[0.0] == pytest.approx(3 * gap, abs=1e-9)
    assert gap > 1e-3


@every
def test_label_smoothing_passes_through(kind: Any, fields: dict[str, Any]) -> None:
    """Both losses are linear in the labels: half smoothed lies half-way to fully spread labels."""
    found = {}
    for smoothing in (0.0, 0.2, 0.4):
        (first, *_) = toys.optimised(
            kind(label_smoothing=smoothing, **fields), toys.tiny(), toys.batch(), Rng(5)
        )
        found[smoothing] = first.item()
    assert abs(found[0.2] - found[0.0]) > 1e-3
    assert found[0.4] - found[0.2] == pytest.approx(found[0.2] - found[0.0], rel=1e-6)


def test_smoothed_labels_by_hand() -> None:
    one, model = toys.batch(), toys.tiny()
    (loss,) = toys.losses(Standard(label_smoothing=0.1), model, one, Rng(5))
    spread = torch.full((12, toys.CLASSES), 0.1 / toys.CLASSES, dtype=torch.float64)
    spread[torch.arange(12), toys.labels_of(one)] += 0.9
    wanted = -(spread * toys.tiny()(one.images).log_softmax(1)).sum(1).mean()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-9)


@pytest.mark.parametrize("kind", [Adversarial, TRADES, MART, FAT, GAIRAT, Noilin])
def test_the_attack_ignores_label_smoothing(kind: Any) -> None:
    seen = []
    for smoothing in (0.0, 0.5):
        model = toys.tiny()
        toys.losses(kind(label_smoothing=smoothing, **BALL), model, toys.batch(), Rng(5))
        seen.append(model.seen[-1])
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("kind", [*(each for each, _ in KINDS.values()), AugMix])
def test_labels_are_needed(kind: Any) -> None:
    name = kind().kind
    with pytest.raises(DataError, match=f"{name}: needs labels"):
        next(iter(kind().step({MODEL: toys.tiny()}, toys.unlabelled(toys.batch()), Rng(0))))


def test_modes_come_back_also_after_an_error() -> None:
    model = toys.tiny()
    model.head.bias.requires_grad_(False)
    states: list[tuple[bool, bool]] = []

    def fail() -> None:
        states.append((model.training, any(each.requires_grad for each in model.parameters())))
        model(torch.zeros(1, 2, toys.SIDE, toys.SIDE))

    with pytest.raises(RuntimeError), attacked(model):
        fail()
    assert states == [(False, False)]
    assert model.training
    assert [name for name, each in model.named_parameters() if not each.requires_grad] == ["head.bias"]
    with pytest.raises(RuntimeError), unrecorded(model):
        fail()
    assert states[1] == (True, True)
    assert model.norm.track_running_stats
    assert int(model.norm.get_buffer("num_batches_tracked")) == 0


def test_unrecorded_uses_the_statistics_of_the_batch() -> None:
    model, one = toys.tiny(), toys.batch()
    with unrecorded(model):
        found = model(one.images)
    assert torch.equal(found, toys.tiny()(one.images))
    toys.assert_same_weights(model, toys.tiny(), atol=0.0)


def test_a_module_without_normalisation_takes_all_switches() -> None:
    images, _, labels = linear_case()
    model = Planes(0.1)
    method = Adversarial(local_linearity=1.0, awp=WeightPerturbation(), **BALL)
    (loss,) = toys.losses(method, model, TrainBatch(images, labels, ()), Rng(0))
    assert loss.isfinite()
