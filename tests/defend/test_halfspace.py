"""The step onto a hyperplane inside the cube is the shortest one: linear programs and a solver say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from clearsight.data.contract.rng import Rng
from clearsight.defend.search.balls import Norm, size
from clearsight.defend.search.halfspace import step_onto

NORMS = ("linf", "l2", "l1")


def problem(
    seed: int, n: int, count: int, *, reach: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return points, slopes and values; ``reach`` 1: the cube just reaches the hyperplane."""
    generator = Rng(seed).at("halfspace").torch()
    x = torch.rand((n, count), generator=generator)
    # Some pixels begin at their bounds, some have no slope.
    x = torch.where(torch.rand(x.shape, generator=generator) < 0.2, x.round(), x)
    slope = torch.randn((n, count), generator=generator)
    slope = slope.masked_fill(torch.rand(x.shape, generator=generator) < 0.1, 0.0)
    slope[:, 0] = 1.0
    # What the value can fall by inside the cube.
    most = torch.where(slope > 0, slope * x, slope * (x - 1.0)).sum(1)
    return x, slope, reach * most


def least(x: np.ndarray, w: np.ndarray, value: float, norm: Norm) -> float:
    """Return the optimum by another way."""
    bounds = list(zip(-x, 1.0 - x, strict=True))
    k = len(x)
    if norm == "l2":
        row = {"type": "eq", "fun": lambda d: w @ d + value, "jac": lambda _: w}
        start = np.clip(-value * w / (w @ w), -x, 1.0 - x)
        found = minimize(
            lambda d: d @ d,
            start,
            jac=lambda d: 2 * d,
            bounds=bounds,
            constraints=row,
            options={"ftol": 1e-13},
        )
        assert found.success
        return float(np.sqrt(found.fun))
    # |d| <= t, with one t for linf and one for each pixel for l1.
    t = np.ones((k, 1)) if norm == "linf" else np.eye(k)
    above = np.block([[np.eye(k), -t], [-np.eye(k), -t]])
    cost = np.concatenate((np.zeros(k), np.ones(t.shape[1])))
    equal = np.concatenate((w, np.zeros(t.shape[1])))[None]
    free = bounds + [(0.0, None)] * t.shape[1]
    found = linprog(cost, A_ub=above, b_ub=np.zeros(2 * k), A_eq=equal, b_eq=[-value], bounds=free)
    assert found.success
    return float(found.fun)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("reach", [0.05, 0.5, 0.95])
def test_shortest(norm: Norm, reach: float) -> None:
    x, slope, value = problem(3, 6, 7, reach=reach)
    step = step_onto(x, slope, value, norm)
    torch.testing.assert_close((slope * step).sum(1), -value, atol=1e-5, rtol=1e-5)
    assert (x + step).min() >= -1e-6
    assert (x + step).max() <= 1 + 1e-6
    expected = [
        least(a.double().numpy(), w.double().numpy(), v, norm)
        for a, w, v in zip(x, slope, value.tolist(), strict=True)
    ]
    torch.testing.assert_close(size(step, norm), torch.tensor(expected).float(), atol=2e-5, rtol=2e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), reach=st.floats(-0.99, 0.99))
@pytest.mark.parametrize("norm", NORMS)
def test_ends_on_the_plane_in_the_cube(norm: Norm, seed: int, count: int, reach: float) -> None:
    x, slope, value = problem(seed, 3, count, reach=abs(reach))
    if reach < 0:
        # The same from the other side.
        x, value = 1.0 - x, -value
    step = step_onto(x, slope, value, norm)
    torch.testing.assert_close((slope * step).sum(1), -value, atol=1e-4, rtol=1e-4)
    assert (x + step).min() >= -1e-6
    assert (x + step).max() <= 1 + 1e-6


@pytest.mark.parametrize("norm", NORMS)
def test_out_of_reach_ends_in_the_corner(norm: Norm) -> None:
    x, slope, value = problem(5, 4, 9, reach=1.5)
    corner = torch.where(slope > 0, -x, 1.0 - x).masked_fill(slope == 0, 0.0)
    torch.testing.assert_close(step_onto(x, slope, value, norm), corner)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_to_do(norm: Norm) -> None:
    x, slope, value = problem(6, 4, 9, reach=0.5)
    assert (step_onto(x, slope, torch.zeros(4), norm) == 0).all()
    assert (step_onto(x, torch.zeros_like(slope), value, norm) == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_uncut_is_the_dual_norm(norm: Norm) -> None:
    generator = Rng(7).at("wide").torch()
    x = torch.full((5, 3, 8, 8), 0.5)
    slope = torch.randn(x.shape, generator=generator)
    step = step_onto(x, slope, torch.full((5,), 0.5), norm)
    dual = torch.linalg.vector_norm(slope.flatten(1), ord={"linf": 1, "l2": 2, "l1": torch.inf}[norm], dim=1)
    torch.testing.assert_close(size(step, norm), 0.5 / dual, rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_images_do_not_mix(norm: Norm) -> None:
    x, slope, value = problem(8, 6, 30, reach=0.6)
    together = step_onto(x, slope, value, norm)
    alone = torch.cat([step_onto(x[i : i + 1], slope[i : i + 1], value[i : i + 1], norm) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-7)
