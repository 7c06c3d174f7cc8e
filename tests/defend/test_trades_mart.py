"""TRADES (Zhang et al. 2019) and MART (Wang et al. 2020) against their formulas, written out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
import training_toys as toys
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.training.base import Prepared
from clearsight.defend.training.mart import MART
from clearsight.defend.training.trades import TRADES

EPS, SIZE = 0.1, 0.02
Faithful = Literal["paper", "repo"]
both = pytest.mark.parametrize("faithful", ["paper", "repo"])


class Told(nn.Module):
    """Gives the logits it was told, one tensor after the other, whatever it is shown."""

    def __init__(self, *logits: Tensor) -> None:
        super().__init__()
        self.logits = list(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.pop(0)


def told(n: int = 7, scale: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return natural logits, attacked logits and labels."""
    generator = Rng(2).at("logits").torch()
    natural, moved = (
        scale * torch.randn(n, toys.CLASSES, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    return natural, moved, torch.randint(toys.CLASSES, (n,), generator=generator)


def objective(method: TRADES | MART, natural: Tensor, moved: Tensor, labels: Tensor) -> float:
    images = torch.zeros(len(labels), 3, 2, 2)
    one = TrainBatch(images, labels, tuple(map(str, range(len(labels)))))
    return method.objective(Told(natural, moved), one, Prepared(images, labels)).item()


def chances(logits: Tensor) -> list[list[float]]:
    return [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in logits.tolist()]


@both
@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_term_by_hand(faithful: Faithful, beta: float) -> None:
    natural, moved, labels = told()
    total = 0.0
    for p, q, y in zip(chances(natural), chances(moved), labels.tolist(), strict=True):
        soft = -sum(a * math.log(b) for a, b in zip(p, q, strict=True))
        entropy = -sum(a * math.log(a) for a in p)
        total += -math.log(p[y]) + beta * (soft if faithful == "paper" else soft - entropy)
    found = objective(TRADES(faithful=faithful, beta=beta), natural, moved, labels)
    assert found == pytest.approx(total / len(labels), abs=1e-9)


def test_equal_predictions_cost_nothing_in_the_code_and_their_entropy_in_the_paper() -> None:
    natural, _, labels = told()
    plain = cross_entropy(natural, labels).item()
    assert objective(TRADES(), natural, natural.clone(), labels) == pytest.approx(plain, abs=1e-9)
    assert objective(TRADES(faithful="paper"), natural, natural.clone(), labels) > plain + 0.1


@both
def test_mart_by_hand(faithful: Faithful) -> None:
    """Equations 6 to 11 of the paper; the constants of the authors' ``mart_loss`` in the other."""
    natural, moved, labels = told()
    one, floor, whole = (1.0001, 1e-12, 1.0000001) if faithful == "repo" else (1.0, 0.0, 1.0)
    total = 0.0
    for p, q, y in zip(chances(natural), chances(moved), labels.tolist(), strict=True):
        rival = max(chance for k, chance in enumerate(q) if k != y)
        boosted = -math.log(q[y]) - math.log(one - rival + floor)
        divergence = sum(a * (math.log(a) - math.log(b + floor)) for a, b in zip(p, q, strict=True))
        total += boosted + 5.0 * divergence * (whole - p[y])
    found = objective(MART(faithful=faithful, beta=5.0), natural, moved, labels)
    assert found == pytest.approx(total / len(labels), abs=1e-9)


def test_mart_looks_at_unsure_images() -> None:
    """The stability of an image weighs 1 - p(label | natural)."""
    _, moved, labels = told(4)
    sure = torch.full((4, toys.CLASSES), -20.0, dtype=torch.float64).scatter(1, labels[:, None], 20.0)
    unsure = torch.full((4, toys.CLASSES), -20.0, dtype=torch.float64).scatter(
        1, (labels[:, None] + 1) % toys.CLASSES, 20.0
    )
    kwargs = {"moved": moved, "labels": labels}
    plain = objective(MART(beta=0.0, faithful="paper"), sure, **kwargs)
    assert objective(MART(beta=6.0, faithful="paper"), sure, **kwargs) == pytest.approx(plain, abs=1e-6)
    # A natural prediction that is sure of class k: the divergence is -log q(k).
    wanted = 6.0 * cross_entropy(moved, (labels + 1) % toys.CLASSES).item()
    found = objective(MART(beta=6.0, faithful="paper"), unsure, **kwargs) - plain
    assert found == pytest.approx(wanted, abs=1e-6)


@both
def test_mart_stays_finite_where_a_prediction_is_hopeless(faithful: Faithful) -> None:
    labels = torch.tensor([0, 0])
    moved = torch.tensor([[0.0, 80.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    natural = torch.tensor([[0.0, 150.0, 0.0], [200.0, -200.0, 0.0]], requires_grad=True)
    images = torch.zeros(2, 3, 2, 2)
    one = TrainBatch(images, labels, ("a", "b"))
    loss = MART(faithful=faithful).objective(Told(natural, moved), one, Prepared(images, labels))
    loss.backward()
    assert loss.isfinite()
    for each in (natural, moved):
        assert each.grad is not None
        assert each.grad.isfinite().all()


def test_mart_against_the_reference_where_the_margin_is_exact() -> None:
    """The rival is the best of the other classes, also where the label is the best."""
    labels = torch.tensor([0, 1])
    moved = torch.log(torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]], dtype=torch.float64))
    found = objective(MART(beta=0.0, faithful="paper"), moved, moved.clone(), labels)
    wanted = (-math.log(0.6) - math.log(1 - 0.3) - math.log(0.3) - math.log(1 - 0.6)) / 2
    assert found == pytest.approx(wanted, abs=1e-12)


def small(kind: type[TRADES] | type[MART], **fields: Any) -> Any:
    return kind(eps=EPS, step_size=SIZE, steps=4, **fields)


@pytest.mark.parametrize("kind", [TRADES, MART])
@both
def test_passes_modes_and_statistics(kind: Any, faithful: Faithful) -> None:
    model, one = toys.tiny(), toys.batch()
    toys.losses(small(kind, faithful=faithful), model, one, Rng(5))
    # All of the attack in eval mode (TRADES also asks for the natural prediction), then natural, attacked.
    attack = [False] * (5 if kind is TRADES else 4)
    assert model.modes == [*attack, True, True]
    assert torch.equal(model.seen[-2], one.images)
    assert not torch.equal(model.seen[-1], one.images)
    assert one.tally.passes == 4 * 12
    other = toys.tiny()
    for images in model.seen[-2:]:
        other(images)
    toys.assert_same_weights(model, other, atol=0.0)
    assert int(model.norm.get_buffer("num_batches_tracked")) == 2


def test_start_is_normal() -> None:
    images = torch.full((400, 3, 6, 6), 0.5, dtype=torch.float64)
    one = TrainBatch(images, torch.zeros(400, dtype=torch.int64), ())
    for method in (TRADES(), MART()):
        attack = method.training_attack()
        assert (attack.spread, attack.start) == ("normal", 0.001)
    change = (
        replace(TRADES().training_attack(), steps=0).applied(toys.tiny(), images, toys.labels_of(one), Rng(0))
        - images
    )
    assert change.std().item() == pytest.approx(0.001, rel=0.02)
    assert change.mean().item() == pytest.approx(0.0, abs=3e-5)
    # Not uniform: a share of 4.6 % lies beyond two standard deviations.
    assert (change.abs() > 0.002).double().mean().item() == pytest.approx(0.0455, abs=0.006)
    assert MART(faithful="paper").training_attack().spread == "uniform"


@pytest.mark.parametrize("kind", [TRADES, MART])
def test_inner_search_against_a_reference(kind: Any) -> None:
    model, one, rng = toys.tiny(), toys.batch(), Rng(5)
    method = small(kind)
    toys.losses(method, model, one, rng)
    start = toys.start_of(method.training_attack(), one, rng)
    expected = toys.walk(toys.tiny(), one, start, eps=EPS, size=SIZE, steps=4, divergence=kind is TRADES)
    assert torch.allclose(model.seen[-1], expected.images, atol=1e-9)


def divergences(model: toys.Tiny, natural: Tensor, moved: Tensor) -> Tensor:
    p, q = model(natural).softmax(1), model(moved).softmax(1)
    found: Tensor = (p * (p / q).log()).sum(1)
    return found


def test_inner_search_raises_the_divergence_and_needs_no_labels() -> None:
    one, attack = toys.batch(), small(TRADES).training_attack()
    model = toys.tiny().eval()
    hard = attack.applied(model, one.images, toys.labels_of(one), Rng(5))
    blind = attack.applied(model, one.images, torch.zeros_like(toys.labels_of(one)), Rng(5))
    assert torch.equal(hard, blind)
    start = toys.start_of(attack, one, Rng(5))
    assert bool((divergences(model, one.images, hard) > 10 * divergences(model, one.images, start)).all())


@both
def test_trace_of_three_steps(faithful: Faithful) -> None:
    """TRADES against a loop of plain torch: attack in eval mode, loss in train mode, SGD."""
    method = small(TRADES, faithful=faithful, beta=3.0)
    ours, theirs = toys.tiny(), toys.tiny()
    for step in range(3):
        one, rng = toys.batch(8, seed=step), Rng(11).at(step)
        toys.optimised(method, ours, one, rng)
        start = toys.start_of(method.training_attack(), one, rng)
        x = toys.walk(theirs, one, start, eps=EPS, size=SIZE, steps=4, divergence=True).images
        natural, moved = theirs(one.images), theirs(x)
        p, q = natural.softmax(1), moved.softmax(1)
        stable = (p * (p / q).log()).sum(1) if faithful == "repo" else -(p * q.log()).sum(1)
        loss = -natural.log_softmax(1)[torch.arange(8), toys.labels_of(one)].mean() + 3.0 * stable.mean()
        slopes = torch.autograd.grad(loss, list(theirs.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(theirs.parameters(), slopes, strict=True):
                parameter.sub_(toys.RATE * slope)
    toys.assert_same_weights(ours, theirs)
    assert not torch.allclose(ours.conv.weight, toys.tiny().conv.weight, atol=1e-4)


def test_the_natural_prediction_is_pulled_too() -> None:
    """The authors do not detach the natural prediction in the stability term."""
    natural, moved, labels = told()
    natural.requires_grad_()
    images = torch.zeros(7, 3, 2, 2)
    one = TrainBatch(images, labels, tuple("abcdefg"))
    grads = []
    for beta in (0.0, 6.0):
        loss = TRADES(beta=beta).objective(Told(natural, moved), one, Prepared(images, labels))
        grads.append(torch.autograd.grad(loss, natural)[0])
    assert not torch.allclose(grads[0], grads[1], atol=1e-3)


def test_defaults_are_the_authors() -> None:
    for method in (TRADES(), MART()):
        assert (method.beta, method.steps) == (6.0, 10)
        assert method.size == pytest.approx(2 / 255)
