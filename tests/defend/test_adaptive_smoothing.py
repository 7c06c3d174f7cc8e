"""Adaptive smoothing: its radius against the worst other classifier, its mixture, and CrossMax by hand."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.defend.bounds.confidence import lower_bound
from clearsight.defend.certify.adaptive_smoothing import AdaptiveSmoothing as Certificate
from clearsight.defend.certify.randomized_smoothing import RandomizedSmoothing
from clearsight.pipelines.systems.fusion.adaptive_smoothing import AdaptiveSmoothing as Mixture
from clearsight.pipelines.systems.fusion.crossmax import CrossMax

PHI = NormalDist()


def shares(first: float) -> Tensor:
    return torch.tensor([[first, 1 - first]], dtype=torch.float64).log()


@pytest.mark.parametrize("weight", [0.6, 0.75, 0.9, 0.99])
def test_the_radius_is_where_the_worst_other_classifier_turns_the_mixture(weight: float) -> None:
    # The votes for a half-space fall by the normal distribution, as fast as any can.
    votes, n = 990, 1000
    certificate = Certificate(sigma=0.25, n=n, weight=weight)
    radius = certificate.bounded([votes], n).radius
    share = lower_bound(votes, n, certificate.alpha)
    against = torch.tensor([[-1e3, 1e3]], dtype=torch.float64)
    mixture = Mixture(weight=weight)
    for step, answer in ((-1e-4, 0), (1e-4, 1)):
        left = PHI.cdf(PHI.inv_cdf(share) - (radius + step) / 0.25)
        assert int(mixture.fuse([shares(left), against]).argmax()) == answer


def test_the_whole_weight_is_randomized_smoothing_and_less_is_less() -> None:
    whole = RandomizedSmoothing().bounded([9990], 10_000).radius
    found = [Certificate(weight=weight).bounded([9990], 10_000).radius for weight in (1.0, 0.9, 0.6)]
    assert found[0] == pytest.approx(whole)
    assert whole > found[1] > found[2] > 0
    assert Certificate(weight=0.6).bounded([8000], 10_000).radius < 0


def test_votes_that_prove_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="n: 30 votes certify nothing.*at least 38 are needed"):
        Certificate(weight=0.6, n=30)
    Certificate(weight=0.6, n=38)
    with pytest.raises(ValidationError, match="greater than 0.5"):
        Certificate(weight=0.5)


def test_the_mixture_is_the_weighted_mean_of_probabilities() -> None:
    robust, one, two = (torch.randn(2, 4, generator=torch.Generator().manual_seed(s)) for s in (1, 2, 3))
    found = Mixture(weight=0.8, robust_scale=0.5, other_scale=1.2).fuse([robust, one, two]).exp()
    mean = 0.8 * (0.5 * robust).softmax(1) + 0.1 * (1.2 * one).softmax(1) + 0.1 * (1.2 * two).softmax(1)
    assert torch.allclose(found, mean, atol=1e-6)


def test_crossmax_by_hand() -> None:
    first, second, third = (
        torch.tensor([row]) for row in ([9.0, 1.0, 0.0], [2.0, 3.0, 0.0], [1.0, 5.0, 1.0])
    )
    # Less their largest: (0, -8, -9), (-1, 0, -3), (-4, 0, -4); less the largest of each class: (0, 0, -3).
    found = CrossMax(rank=2).fuse([first, second, third])
    assert found.tolist() == [[-1.0, 0.0, -1.0]]
    assert CrossMax().fuse([first, second, third]).tolist() == [[-4.0, -8.0, -6.0]]
    assert torch.equal(CrossMax().fuse([first]), first)
    with pytest.raises(ShapeError, match="crossmax: its inputs differ in shape"):
        CrossMax().build()(first, first[:, :2])


@pytest.mark.parametrize(("backward", "reached"), [("mean", 6), ("own", 3)])
def test_attacks_climb_the_mean_of_the_branches_of_crossmax(backward: str, reached: int) -> None:
    branches = [
        torch.randn(1, 5, generator=torch.Generator().manual_seed(s)).requires_grad_() for s in range(6)
    ]
    part = CrossMax.model_validate({"backward": backward}).build()
    slopes = torch.autograd.grad(part.surrogate(*branches)[0, 2], branches)
    assert sum(bool(slope.abs().sum() > 0) for slope in slopes) <= reached
    assert backward == "own" or all(slope.abs().sum() > 0 for slope in slopes)
