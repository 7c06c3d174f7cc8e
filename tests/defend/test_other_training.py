"""NoiLIn (Zhang et al. 2022), free adversarial training (Shafahi et al. 2019), Gaussian noise (Cohen et al.)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import training_toys as toys
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy

from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.search.training_attack import TrainingAttack
from clearsight.defend.training.adversarial import Adversarial
from clearsight.defend.training.free import Free
from clearsight.defend.training.gaussian import Gaussian
from clearsight.defend.training.noilin import Noilin

EPS, SIZE = 0.2, 0.04


def rates_of_the_paper(valid: list[float], epochs: int = 120) -> list[float]:
    """Return the rate after each epoch: algorithm 1, with the authors' defaults and their sums of windows."""
    rate, kept, found = 0.05, [0.0] * 10, []
    for epoch, accuracy in enumerate(valid):
        before = sum(kept)
        kept[epoch % 10] = accuracy
        # A tolerance: sums of the same numbers in another order.
        if before > sum(kept) + 1e-9:
            rate = min(rate * 1.05, 0.6)
        if epoch + 1 <= 0.75 * epochs:
            rate = min(0.3, rate)
        found.append(rate)
    return found


HISTORIES: dict[str, list[float]] = {
    "rising": [0.2 + 0.002 * i for i in range(120)],
    "falling": [0.6 - 0.003 * i for i in range(120)],
    "overfitting": [0.5 - 0.0001 * (i - 60) ** 2 for i in range(120)],
    "flat": [0.4] * 120,
    "noisy": [0.4 + 0.01 * ((37 * i) % 11) for i in range(120)],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_noilin_rate_over_a_whole_run(history: list[float]) -> None:
    told = [((i + 1) / 120, accuracy) for i, accuracy in enumerate(history)]
    found = [Noilin().rate(told[: i + 1]) for i in range(120)]
    assert found == pytest.approx(rates_of_the_paper(history), rel=1e-9)


def test_noilin_rate_of_small_cases() -> None:
    method = Noilin(window=2, boost=0.5, lowest=0.1, highest=0.6)

    def rate(*accuracies: float) -> float:
        return method.rate([(0.1 * (i + 1), accuracy) for i, accuracy in enumerate(accuracies)])

    assert rate() == 0.1
    # Nothing to compare with, then 0.3 < 0.5, 0.5 > 0.4, 0.2 < 0.3.
    assert rate(0.5, 0.4) == pytest.approx(0.1)
    assert rate(0.5, 0.4, 0.3) == pytest.approx(0.15)
    assert rate(0.5, 0.4, 0.3, 0.5) == pytest.approx(0.15)
    assert rate(0.5, 0.4, 0.3, 0.5, 0.2) == pytest.approx(0.225)
    falling = [((i + 1) / 40, 1.0 - 0.01 * i) for i in range(40)]
    # Half of the greatest rate until three quarters of the budget, all of it afterwards.
    assert method.rate(falling[:30]) == pytest.approx(0.3)
    assert method.rate(falling[:31]) == pytest.approx(0.45)
    assert method.rate(falling) == pytest.approx(0.6)


@given(history=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60).map(sorted))
@settings(max_examples=60, deadline=None)
def test_noilin_rate_stays_within_its_bounds(history: list[tuple[float, float]]) -> None:
    early = not history or history[-1][0] <= 0.75
    assert 0.05 <= Noilin().rate(history) <= (0.3 if early else 0.6)


def flipped(method: Noilin, one: TrainBatch, rng: Rng) -> Tensor:
    return method.prepared(toys.tiny(), one, toys.labels_of(one), rng).labels


def many(n: int = 600) -> TrainBatch:
    images = torch.rand(n, 3, 6, 6, generator=Rng(4).torch(), dtype=torch.float64)
    return TrainBatch(images, torch.arange(n) % toys.CLASSES, tuple(map(str, range(n))))


@pytest.mark.parametrize("flip", ["symmetric", "pair"])
def test_noilin_flips(flip: Any) -> None:
    one, method = many(), Noilin(lowest=0.3, flip=flip, steps=1)
    found, labels = flipped(method, one, Rng(1)), toys.labels_of(one)
    changed = found != labels
    assert changed.double().mean().item() == pytest.approx(0.3, abs=0.06)
    further = ((found - labels) % toys.CLASSES)[changed]
    counts = torch.bincount(further, minlength=toys.CLASSES).tolist()
    assert counts[0] == 0
    assert int(found.min()) == 0
    assert int(found.max()) == toys.CLASSES - 1
    if flip == "pair":
        assert counts == [0, int(changed.sum()), 0, 0, 0]
    else:
        assert min(counts[1:]) > 25
    assert torch.equal(flipped(method, one, Rng(1)), found)
    assert not torch.equal(flipped(method, one, Rng(2)), found)
    assert torch.equal(toys.labels_of(one), torch.arange(600) % toys.CLASSES)


def test_noilin_at_the_ends_of_its_rate() -> None:
    one = many(60)
    assert torch.equal(flipped(Noilin(lowest=0.0, steps=1), one, Rng(1)), toys.labels_of(one))
    everything = Noilin(lowest=1.0, highest=1.0, steps=1)
    assert not bool((flipped(everything, one, Rng(1)) == toys.labels_of(one)).any())


def test_noilin_attacks_and_learns_the_same_flipped_labels() -> None:
    method = Noilin(lowest=0.5, highest=0.6, eps=EPS, step_size=SIZE, steps=3)
    model, one, rng = toys.tiny(), toys.batch(), Rng(5)
    (loss,) = toys.losses(method, model, one, rng)
    told = flipped(method, one, rng)
    assert not torch.equal(told, toys.labels_of(one))
    start = toys.start_of(method.training_attack(), one, rng)
    x = toys.walk(toys.tiny(), replace(one, labels=told), start, eps=EPS, size=SIZE, steps=3).images
    assert torch.allclose(model.seen[-1], x, atol=1e-9)
    assert loss.item() == pytest.approx(cross_entropy(toys.tiny()(x), told).item(), abs=1e-9)
    assert model.modes == [False] * 4 + [True]


def test_noilin_rate_follows_the_history_of_the_batch() -> None:
    one, method = many(), Noilin(lowest=0.1, window=1, boost=1.0, steps=1)
    grown = replace(one, history=((0.6, 0.5), (0.7, 0.4), (0.8, 0.3), (0.9, 0.2)))
    found = [
        (flipped(method, each, Rng(1)) != toys.labels_of(one)).double().mean().item() for each in (one, grown)
    ]
    assert found == pytest.approx([0.1, 0.6], abs=0.06)


def test_noilin_rates_must_fit() -> None:
    with pytest.raises(ValidationError, match=r"'lowest' 0.7 is above 'highest' 0.6"):
        Noilin(lowest=0.7)


def test_free_training_against_a_loop_of_plain_torch() -> None:
    """Each backward pass moves the weights by its gradient and the perturbation by its sign."""
    method, ours, theirs, one, rng = Free(eps=EPS, replays=4), toys.tiny(), toys.tiny(), toys.batch(8), Rng(5)
    found = toys.optimised(method, ours, one, rng)
    x = TrainingAttack("linf", EPS, 0, 0.0, EPS).applied(toys.tiny(), one.images, toys.labels_of(one), rng)
    points = []
    for k in range(4):
        x = x.detach().requires_grad_()
        points.append(x.detach().clone())
        loss = cross_entropy(theirs(x), toys.labels_of(one))
        assert found[k].item() == pytest.approx(loss.item(), abs=1e-9)
        *slopes, slope = torch.autograd.grad(loss, [*theirs.parameters(), x])
        with torch.no_grad():
            for parameter, each in zip(theirs.parameters(), slopes, strict=True):
                parameter.sub_(toys.RATE * each)
            x = x + EPS * slope.sign()
            x = torch.minimum(torch.maximum(x, one.images - EPS), one.images + EPS).clamp(0, 1)
    toys.assert_same_weights(ours, theirs)
    assert len(found) == 4
    trained = [images for mode, images in ours.forwards if mode]
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(trained, points, strict=True))
    assert not any(torch.equal(a, b) for a, b in pairwise(trained))
    assert not any(mode for mode in ours.modes if not mode)
    assert one.tally.passes == 0


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.7)])
def test_free_training_stays_in_the_ball(norm: Any, eps: float) -> None:
    model, one = toys.tiny(), toys.batch(8)
    assert len(toys.optimised(Free(norm=norm, eps=eps, replays=6), model, one, Rng(5))) == 6
    for images in model.seen:
        change = (images - one.images).flatten(1)
        far = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert float(far.max()) <= eps + 1e-9
        assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
    # The gradient reaches the border of the ball, the random start only nears it.
    last = (model.seen[-1] - one.images).flatten(1)
    far = last.abs().amax(1) if norm == "linf" else last.norm(dim=1)
    assert float(far.min()) > 0.8 * eps


def test_free_training_needs_the_loop_to_propagate() -> None:
    step = Free(replays=2).step({MODEL: toys.tiny()}, toys.batch(4), Rng(5))
    next(step)
    with pytest.raises(RuntimeError, match="did not propagate"):
        next(step)


@pytest.mark.parametrize("fields", [{"awp": {}}, {"local_linearity": 1.0}], ids=["awp", "linearity"])
def test_free_training_takes_no_switches_with_passes_of_their_own(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="free training does without"):
        Free.model_validate(fields)


@pytest.mark.parametrize("fields", [{"steps": 7}, {"step_size": "2/255"}])
def test_free_training_refuses_the_steps_of_an_attack_that_it_does_not_make(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"'{next(iter(fields))}' has no effect here"):
        Free(**fields)


@pytest.mark.parametrize("sigma", [0.12, 0.5])
def test_gaussian_noise(sigma: float) -> None:
    method, model, one = Gaussian(sigma=sigma), toys.tiny(), many()
    (loss,) = toys.losses(method, model, one, Rng(5))
    (noisy,) = model.seen
    assert model.modes == [True]
    noise = noisy - one.images
    assert noise.std().item() == pytest.approx(sigma, rel=0.01)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.01 * sigma**0.5)
    assert noise.abs().gt(2 * sigma).double().mean().item() == pytest.approx(0.0455, abs=0.003)
    # Not clamped, or the mean of a bright pixel would sink.
    assert noisy.min().item() < 0.0 < 1.0 < noisy.max().item()
    # Independent from image to image.
    assert abs(torch.corrcoef(noise[:2].flatten(1))[0, 1].item()) < 0.3
    assert loss.item() == pytest.approx(
        cross_entropy(toys.tiny()(noisy), toys.labels_of(one)).item(), abs=1e-9
    )


def test_gaussian_examines_under_the_same_noise() -> None:
    method, one = Gaussian(), toys.batch()
    model = toys.tiny().eval()
    found = method.validation_attack(model, one.images, toys.labels_of(one), Rng(0))
    assert torch.equal(found, method.validation_attack(model, one.images, toys.labels_of(one), Rng(0)))
    assert not torch.equal(found, method.validation_attack(model, one.images, toys.labels_of(one), Rng(1)))
    assert (found - one.images).std().item() == pytest.approx(0.25, rel=0.05)
    assert method.robust_validation == "Gaussian noise, sigma 0.25, one draw"
    assert Adversarial().robust_validation != method.robust_validation
