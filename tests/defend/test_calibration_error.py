"""The debiased calibration error: what it is without noise, its bias and its coverage by simulation."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearsight.data.contract.rng import Rng
from clearsight.defend.calibration_error import calibration_error
from clearsight.defend.scores import ece

Floats = NDArray[np.float64]
SHAPES = {"sharp": (8.0, 0.4), "middling": (2.0, 1.0), "unsure": (1.0, 2.0)}
"""Beta distributions of the confidence."""
TRUTHS: dict[str, Callable[[Floats], Floats]] = {
    "calibrated": lambda sure: sure,
    "overconfident": lambda sure: 1 / (1 + np.exp(-np.log(sure / (1 - sure)) / 1.5)),
    "too sure by 5 points": lambda sure: np.clip(sure - 0.05, 0, 1),
    "one bin wrong": lambda sure: np.where((sure > 0.8) & (sure < 0.8667), sure - 0.3, sure),
}


def draw(generator: np.random.Generator, shape: str, truth: str, n: int) -> tuple[Floats, Floats]:
    sure = np.clip(0.1 + 0.9 * generator.beta(*SHAPES[shape], n), 0.1, 1 - 1e-6)
    return sure, (generator.random(n) < TRUTHS[truth](sure)).astype(float)


def simulated(shape: str, truth: str, n: int, runs: int, *, adaptive: bool = False) -> tuple[float, ...]:
    """Return the true error, the bias of the plain and of the debiased estimate, and the coverage."""
    generator = Rng(11).at("ece", shape, truth, str(n), str(adaptive)).numpy()
    true = ece(*draw(generator, shape, truth, 400_000), adaptive=adaptive)
    plain, found, covered = [], [], 0
    for _ in range(runs):
        sample = draw(generator, shape, truth, n)
        value, low, high = calibration_error(*sample, adaptive=adaptive)
        plain.append(ece(*sample, adaptive=adaptive))
        found.append(value)
        covered += low <= true <= high
    return true, float(np.mean(plain)) - true, float(np.mean(found)) - true, covered / runs


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([1, 4, 15]), st.booleans())
def test_value_and_ends_are_in_order(seed: int, n: int, bins: int, adaptive: bool) -> None:
    generator = Rng(seed).at("order").numpy()
    sure = generator.choice([0.0, 0.25, 0.5, 0.99, 1.0], n)
    right = (generator.random(n) < 0.6).astype(float)
    value, low, high = calibration_error(sure, right, bins, adaptive=adaptive)
    assert 0 <= low <= value <= high <= 1
    assert value <= ece(sure, right, bins, adaptive=adaptive) + 1e-12, "noise only adds"


def test_a_large_error_of_many_samples_is_that_of_the_plain_estimate() -> None:
    sure = np.full(4000, 0.99)
    right = np.repeat([1.0, 0.0], 2000)
    value, low, high = calibration_error(sure, right)
    assert value == pytest.approx(0.49, abs=1e-9)
    assert (low, high) == pytest.approx((0.49 - 0.0155, 0.49 + 0.0155), abs=1e-3), "1.96 standard errors"


def test_certain_and_right_has_no_error() -> None:
    value, low, _ = calibration_error(np.ones(50), np.ones(50))
    assert value == low == 0.0


def test_a_calibrated_network_on_few_images_is_not_told_an_error() -> None:
    true, plain, bias, covered = simulated("middling", "calibrated", 150, 40)
    assert true < 0.003
    assert plain > 0.06
    assert bias < plain / 2
    assert covered >= 0.9


@pytest.mark.slow
@pytest.mark.long
def test_it_covers_and_is_little_biased_over_a_grid() -> None:
    found = {
        place: simulated(*place[:3], 150, adaptive=place[3])
        for place in itertools.product(SHAPES, TRUTHS, (150, 500), (False, True))
    }
    told = sorted(figures[3] for figures in found.values())
    mean = sum(told) / len(told)
    sys.stdout.write(f"ECE covers {told[0]:.3f} to {told[-1]:.3f}, mean {mean:.3f}\n")
    short = {place: told for place, told in found.items() if told[3] < 0.93}
    assert not short, short
    worse = {place: told for place, told in found.items() if abs(told[2]) > abs(told[1]) / 2 + 0.011}
    assert not worse, worse
