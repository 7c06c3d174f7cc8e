"""What confidence is worth: risk against coverage, with intervals, against its definition."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import wilson
from clearsight.defend.uncertainty.risk_coverage import (
    area_estimate,
    aurc_parts,
    excess_parts,
    risks,
    selective_accuracy,
)
from clearsight.defend.uncertainty.sureness import confidence, energy, entropy, logit_margin

Floats = NDArray[np.float64]


def curve(order: tuple[int, ...], wrong: Floats) -> list[float]:
    """The definition: share of errors among the first k, for every k."""
    return [float(np.mean([wrong[i] for i in order[:k]])) for k in range(1, len(order) + 1)]


def sample(seed: int, n: int, levels: int = 10**9) -> tuple[Floats, Floats]:
    draw = Rng(seed).at("images").numpy()
    sure = np.floor(draw.random(n) * levels) / levels
    return sure, (draw.random(n) > 0.4 + 0.6 * sure).astype(np.float64)


def test_scores_of_logits_against_their_formulas() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    assert confidence(logits).numpy() == pytest.approx(shares.max(1))
    assert entropy(logits).numpy() == pytest.approx(-(shares * np.log(shares)).sum(1))
    assert energy(logits).numpy() == pytest.approx(-np.log(np.exp(logits.numpy()).sum(1)))
    assert logit_margin(logits).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_the_definition(seed: int) -> None:
    sure, wrong = sample(seed, 30)
    order = tuple(np.argsort(-sure))
    assert risks(sure, wrong) == pytest.approx(curve(order, wrong))
    assert aurc_parts(sure, wrong).mean() == pytest.approx(np.mean(curve(order, wrong)))


def test_equally_sure_images_count_as_in_random_order() -> None:
    sure = np.array([0.9, 0.9, 0.5, 0.5, 0.5, 0.1])
    wrong = np.array([0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    orders = [(*a, *b, 5) for a in permutations((0, 1)) for b in permutations((2, 3, 4))]
    expected = np.mean([curve(order, wrong) for order in orders], axis=0)
    assert risks(sure, wrong) == pytest.approx(expected)
    assert aurc_parts(sure, wrong).mean() == pytest.approx(expected.mean())
    mixed = np.array([3, 5, 0, 2, 4, 1])
    assert aurc_parts(sure[mixed], wrong[mixed]) == pytest.approx(aurc_parts(sure, wrong)[mixed])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_the_excess_is_above_the_best_of_all_orders(seed: int) -> None:
    sure, wrong = sample(seed, 7, levels=4)
    best = min(np.mean(curve(order, wrong)) for order in permutations(range(7)))
    excess = excess_parts(sure, wrong).mean()
    assert excess == pytest.approx(aurc_parts(sure, wrong).mean() - best)
    assert excess_parts(-wrong, wrong).mean() == pytest.approx(0.0, abs=1e-12)


def test_a_score_that_says_nothing_has_the_error_rate() -> None:
    wrong = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    assert aurc_parts(np.ones(5), wrong) == pytest.approx(wrong)
    assert selective_accuracy(np.ones(5), wrong, 0.6).value == pytest.approx(0.6)


def test_parts_are_the_influence_of_each_image() -> None:
    # Weight of one image raised a little, its copies being as sure as it is: the area moves by its part.
    sure, wrong = sample(4, 40)
    area, parts = aurc_parts(sure, wrong).mean(), aurc_parts(sure, wrong)
    many = 400
    for image in (0, 7, 23):
        often = np.full(40, many)
        often[image] += 1
        moved = aurc_parts(np.repeat(sure, often), np.repeat(wrong, often)).mean()
        whole = aurc_parts(np.repeat(sure, many), np.repeat(wrong, many)).mean()
        slope = (moved - whole) * (40 * many + 1)
        assert slope == pytest.approx(parts[image] - area, abs=0.12)


def test_selective_accuracy_counts_the_surest() -> None:
    sure, wrong = np.arange(10.0), np.array([1.0] * 3 + [0.0] * 7)
    found = selective_accuracy(sure, wrong, 0.8)
    assert found.value == pytest.approx(7 / 8)
    assert (found.low, found.high) == pytest.approx(wilson(7, 8), abs=0.06)
    assert selective_accuracy(sure, wrong, 0.7).value == 1.0
    assert selective_accuracy(sure, wrong, 1.0).value == pytest.approx(0.7)
    # 0.9 of ten images are nine.
    assert selective_accuracy(sure, wrong, 0.9).value == pytest.approx(7 / 9)


def test_no_error_leaves_an_interval() -> None:
    found = area_estimate(aurc_parts(np.arange(50.0), np.zeros(50)), Rng(0))
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(wilson(0, 50)[1])


@pytest.mark.parametrize(
    ("sure", "wrong"),
    [([], []), ([0.5], [0.0, 1.0]), ([float("nan")], [0.0]), ([0.5], [0.5])],
)
def test_what_makes_no_sense_is_refused(sure: list[float], wrong: list[float]) -> None:
    with pytest.raises(DataError):
        risks(sure, wrong)
    with pytest.raises(DataError, match="coverage 0"):
        selective_accuracy([0.5], [0.0], 0.0)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("n", "least"), [(200, 0.90), (500, 0.90)])
def test_intervals_cover(n: int, least: float) -> None:
    sure, wrong = sample(0, 200_000)
    truth = aurc_parts(sure, wrong).mean(), excess_parts(sure, wrong).mean()
    answered = selective_accuracy(sure, wrong, 0.8).value
    held = np.zeros(3)
    for seed in range(1, 401):
        drawn = sample(seed, n)
        areas = [area_estimate(parts(*drawn), Rng(seed)) for parts in (aurc_parts, excess_parts)]
        held[:2] += [area.low <= t <= area.high for area, t in zip(areas, truth, strict=True)]
        accuracy = selective_accuracy(*drawn, 0.8)
        held[2] += accuracy.low <= answered <= accuracy.high
    assert (held / 400 >= least).all()
