from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.search.balls import Norm, project, random_point, size, steepest_direction
from clearsight.defend.search.streams import Streams

norms = pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
SHAPE = (3, 4, 5)


def points(seed: int, scale: float, n: int = 8) -> tuple[Tensor, Tensor]:
    """Return centres, of which a part is exactly 0 or 1, and points somewhere around them."""
    generator = Rng(seed).at("points").torch()
    centre = (1.6 * torch.rand((n, *SHAPE), generator=generator) - 0.3).clamp(0.0, 1.0)
    return centre, centre + scale * torch.randn((n, *SHAPE), generator=generator)


def highest(slope: Tensor, centre: Tensor, eps: float) -> Tensor:
    """Return the maximum (n,) of <slope, z> over perturbations z in the l1 ball that stay in the cube.

    A fractional knapsack: the largest slopes first, each as far as the cube lets it, until eps is used up.
    """
    slope, centre = slope.double().flatten(1), centre.double().flatten(1)
    room = torch.where(slope > 0, 1.0 - centre, centre)
    order = slope.abs().argsort(dim=1, descending=True)
    value, room = slope.abs().gather(1, order), room.gather(1, order)
    used = (room.cumsum(1) - room).clamp_max(eps)
    return (value * room.minimum(eps - used)).sum(1)


@norms
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.0, 0.01, 0.5, 12.0]), scale=st.floats(1e-3, 30.0))
@settings(max_examples=25, deadline=None)
def test_projection_stays_in_ball_and_cube(norm: Norm, seed: int, eps: float, scale: float) -> None:
    centre, x = points(seed, scale)
    found = project(x, centre, norm, eps)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert size(found - centre, norm).max() <= eps * (1 + 1e-5) + 1e-6
    assert torch.allclose(project(found, centre, norm, eps), found, atol=2e-6)


@given(seed=st.integers(0, 10_000), eps=st.floats(0.01, 20.0), scale=st.floats(1e-2, 10.0))
@settings(max_examples=40, deadline=None)
def test_l1_projection_is_the_nearest_point(seed: int, eps: float, scale: float) -> None:
    """p is the projection of y onto a convex set just where <y - p, z - p> <= 0 for every z of the set."""
    centre, x = points(seed, scale)
    found = project(x, centre, "l1", eps)
    pull = (x - found).double()
    at = (pull * (found - centre).double()).flatten(1).sum(1)
    slack = highest(pull, centre, eps) - at
    assert (slack <= 1e-5 * (1.0 + scale) * (1.0 + eps)).all()


def test_l1_projection_against_alternating_projections() -> None:
    """Dykstra's algorithm, which knows the l1 ball and the cube only, one after the other."""
    eps = 1.5
    centre, x = points(3, 0.5, n=4)
    start = centre.double().flatten(1)
    at, first, second = (x - centre).double().flatten(1), torch.zeros(()), torch.zeros(())
    for _ in range(600):
        wanted = at + first
        ordered = wanted.abs().sort(dim=1, descending=True).values
        cuts = (ordered.cumsum(1) - eps) / torch.arange(1, ordered.shape[1] + 1)
        cut = cuts.gather(1, (ordered > cuts).sum(1, keepdim=True) - 1).clamp_min(0.0)
        ball = wanted.sign() * (wanted.abs() - cut).clamp_min(0.0)
        first = wanted - ball
        at = (start + ball + second).clamp(0.0, 1.0) - start
        second = ball + second - at
    found = (project(x, centre, "l1", eps) - centre).double().flatten(1)
    assert torch.allclose(found, at, atol=1e-5)


def test_points_of_ball_and_cube_are_their_own_projection() -> None:
    centre, x = points(0, 0.01)
    x = x.clamp(0.0, 1.0)
    for norm in ("linf", "l2", "l1"):
        assert torch.allclose(project(x, centre, norm, 100.0), x, atol=1e-7)


@norms
def test_random_points_stay_in_ball_and_cube_and_depend_on_their_image_alone(norm: Norm) -> None:
    centre, _ = points(1, 0.0)
    names = [f"image-{i}" for i in range(len(centre))]
    every = torch.arange(len(centre))
    found = random_point(centre, norm, 0.4, Streams(Rng(0), names), every)
    assert size(found - centre, norm).max() <= 0.4 * (1 + 1e-5)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert (found != centre).flatten(1).any(1).all()
    alone = random_point(centre[2:3], norm, 0.4, Streams(Rng(0), names), torch.tensor([2]))
    assert torch.allclose(alone, found[2:3], atol=1e-7)


@norms
def test_steepest_direction(norm: Norm) -> None:
    gradient = torch.randn((5, *SHAPE), generator=Rng(0).torch())
    found = steepest_direction(gradient, norm, sparsity=1e-9)
    assert torch.allclose(size(found, norm), torch.ones(5))
    dual = {"linf": size(gradient, "l1"), "l2": size(gradient, "l2"), "l1": size(gradient, "linf")}[norm]
    assert torch.allclose((found * gradient).flatten(1).sum(1), dual, rtol=1e-5)
    assert torch.equal(steepest_direction(torch.zeros(2, *SHAPE), norm), torch.zeros(2, *SHAPE))


def test_l1_direction_rules_out_values_at_their_bound() -> None:
    x = torch.tensor([[0.0, 1.0, 0.5]])
    gradient = torch.tensor([[-3.0, 2.0, 1.0]])
    assert steepest_direction(gradient, "l1", x=x, sparsity=0.1).tolist() == [[0.0, 0.0, 1.0]]
