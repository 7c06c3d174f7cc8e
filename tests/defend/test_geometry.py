"""GAIRAT (Zhang et al. 2021): kappa becomes a weight."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
import training_toys as toys
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn.functional import cross_entropy

from clearsight.data.contract.rng import Rng
from clearsight.defend.training.gair_fat import GAIRFAT
from clearsight.defend.training.gairat import GAIRAT

EPS, SIZE = 0.2, 0.04


def tanh_weights(kappa: list[int], offset: float, half: float) -> list[float]:
    raw = [(math.tanh(offset + 5.0 * (half - k) / half) + 1.0) / 2.0 for k in kappa]
    return [each * len(raw) / sum(raw) for each in raw]


@pytest.mark.parametrize("offset", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("steps", "faithful", "half"),
    [(10, "repo", 5.0), (10, "paper", 5.0), (7, "repo", 3.0), (7, "paper", 3.5)],
    ids=["even-repo", "even-paper", "odd-repo", "odd-paper"],
)
def test_tanh_weights_by_hand(
    steps: int, faithful: Literal["paper", "repo"], half: float, offset: float
) -> None:
    """Equation 6: (tanh(lambda + 5 (1 - 2 kappa / K)) + 1) / 2; ``int(K / 2)`` in the authors' code."""
    kappa = [0, 1, 3, 4, 5, steps, 0]
    method = GAIRAT(steps=steps, faithful=faithful, offset=offset)
    found = method.weights(torch.tensor(kappa)).tolist()
    assert found == pytest.approx(tanh_weights(kappa, offset, half), rel=2e-3, abs=1e-6)


def test_sigmoid_and_discrete_weights_by_hand() -> None:
    kappa = [0, 2, 5, 10]
    level = [1.0 / (1.0 + math.exp(-(-1.0 + 5.0 * (5 - k) / 5))) for k in kappa]
    found = GAIRAT(assign="sigmoid").weights(torch.tensor(kappa)).tolist()
    assert found == pytest.approx([each * 4 / sum(level) for each in level], rel=1e-5)
    # Linear: (K + 1 - kappa) / (K + 1) are 11, 9, 6 and 1 elevenths.
    found = GAIRAT(assign="discrete").weights(torch.tensor(kappa)).tolist()
    assert found == pytest.approx([11 * 4 / 27, 9 * 4 / 27, 6 * 4 / 27, 4 / 27], rel=1e-5)


@given(
    kappa=st.lists(st.integers(0, 9), min_size=1, max_size=20),
    steps=st.integers(9, 14),
    offset=st.floats(-2.0, 3.0),
    assign=st.sampled_from(["tanh", "sigmoid", "discrete"]),
    faithful=st.sampled_from(["paper", "repo"]),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_weights_have_mean_one_and_fall_with_kappa(
    kappa: list[int], steps: int, offset: float, assign: Any, faithful: Any
) -> None:
    method = GAIRAT(steps=steps, offset=offset, assign=assign, faithful=faithful)
    weights = method.weights(torch.tensor(kappa))
    assert weights.mean().item() == pytest.approx(1.0, abs=1e-5)
    assert bool((weights >= 0).all())
    ordered = weights[torch.tensor(kappa).argsort(stable=True)]
    assert bool((ordered.diff() <= 1e-6).all())


def test_equal_kappas_weigh_one_each() -> None:
    for kappa in (0, 4, 10):
        assert GAIRAT().weights(torch.full((6,), kappa)).tolist() == pytest.approx([1.0] * 6)


@pytest.mark.parametrize("assign", ["tanh", "sigmoid", "discrete"])
def test_weights_are_exact_far_from_the_boundary(assign: Any) -> None:
    """(tanh(x) + 1) / 2 as it stands rounds to 0 in single precision where x is below -9."""
    method = GAIRAT(offset=-8.0, assign=assign)
    assert method.weights(torch.full((4,), 10)).tolist() == pytest.approx([1.0] * 4)
    if assign == "tanh":
        # There the weight is exp(2 x), and x falls by 1 from kappa to kappa.
        far = [math.exp(-2.0 * k) for k in (8, 9, 10)]
        found = method.weights(torch.tensor([8, 9, 10])).tolist()
        assert found == pytest.approx([3 * each / sum(far) for each in far], rel=1e-4)


def test_lower_offset_gives_more_to_the_nearest() -> None:
    kappa = torch.tensor([0, 3, 6, 9])
    first = [GAIRAT(offset=offset).weights(kappa)[0].item() for offset in (2.0, 0.0, -1.0, -3.0)]
    assert first == sorted(first)
    assert (GAIRAT().offset, GAIRFAT().offset) == (-1.0, 0.0)


@pytest.mark.parametrize("kind", [GAIRAT, GAIRFAT])
@pytest.mark.slow
def test_objective_before_and_after_the_burn_in(kind: Any) -> None:
    method = kind(eps=EPS, step_size=SIZE)
    # Half of the budget, 60 of 120 epochs: the middle of the 59th and of the 61st.
    for share, weighted in ((0.0, False), (58.5 / 120, False), (60.5 / 120, True), (1.0, True)):
        model, one, rng = toys.tiny(), toys.batch(16, share), Rng(5)
        (loss,) = toys.losses(method, model, one, rng)
        attack = method.training_attack(share)
        start = toys.start_of(attack, one, rng)
        expected = toys.walk(toys.tiny(), one, start, eps=EPS, size=SIZE, tau=attack.tau)
        assert len(set(expected.kappa)) > 2
        assert torch.allclose(model.seen[-1], expected.images, atol=1e-9)
        each = cross_entropy(toys.tiny()(expected.images), toys.labels_of(one), reduction="none")
        if weighted:
            each = each * torch.tensor(tanh_weights(expected.kappa, method.offset, 5.0))
        assert loss.item() == pytest.approx(each.mean().item(), rel=1e-4)


def test_the_gradient_does_not_go_through_the_weights() -> None:
    weights = GAIRAT().weights(torch.tensor([0, 5, 10]))
    assert not weights.requires_grad


def test_passes_and_modes() -> None:
    model, one = toys.tiny(), toys.batch()
    toys.losses(GAIRAT(eps=EPS, step_size=SIZE, steps=4), model, one, Rng(5))
    assert model.modes == [False] * 4 + [True]
    assert one.tally.passes == 4 * 12
    other = toys.tiny()
    other(model.seen[-1])
    toys.assert_same_weights(model, other, atol=0.0)


@pytest.mark.slow
def test_trace_of_three_steps() -> None:
    """GAIRAT against a loop of plain torch: PGD with counting, weighted cross-entropy, SGD."""
    method = GAIRAT(eps=EPS, step_size=SIZE, steps=6, after=0.4)
    ours, theirs = toys.tiny(), toys.tiny()
    for step, share in enumerate((0.2, 0.5, 0.9)):
        one, rng = toys.batch(8, share, seed=step), Rng(11).at(step)
        toys.optimised(method, ours, one, rng)
        start = toys.start_of(method.training_attack(share), one, rng)
        found = toys.walk(theirs, one, start, eps=EPS, size=SIZE, steps=6)
        weights = tanh_weights(found.kappa, -1.0, 3.0) if share > 0.4 else [1.0] * 8
        each = cross_entropy(theirs(found.images), toys.labels_of(one), reduction="none")
        loss = (torch.tensor(weights) * each).mean()
        slopes = torch.autograd.grad(loss, list(theirs.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(theirs.parameters(), slopes, strict=True):
                parameter.sub_(toys.RATE * slope)
    toys.assert_same_weights(ours, theirs)
    assert not torch.allclose(ours.conv.weight, toys.tiny().conv.weight, atol=1e-4)


@pytest.mark.parametrize("kind", [GAIRAT, GAIRFAT])
def test_one_step_gives_no_geometry(kind: Any) -> None:
    with pytest.raises(ValidationError, match="2 steps at least"):
        kind(steps=1)
