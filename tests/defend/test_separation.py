"""Telling images of something else apart: AUROC, AUPR and FPR, against scikit-learn and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.defend.uncertainty.separation import auroc_interval, separation

Floats = NDArray[np.float64]


def scores(seed: int, n: int, m: int, *, apart: float = 1.0, levels: float = 0.0) -> tuple[Floats, Floats]:
    draw = Rng(seed).at("scores").numpy()
    both = draw.normal(apart, 1.0, n), draw.normal(0.0, 1.0, m)
    known, other = (np.round(each / levels) * levels if levels else each for each in both)
    return known, other


@pytest.mark.parametrize("levels", [0.0, 0.5])
@pytest.mark.parametrize(("n", "m"), [(50, 80), (200, 37), (1, 3)])
def test_figures_are_those_of_scikit_learn(n: int, m: int, levels: float) -> None:
    known, other = scores(n, n, m, levels=levels)
    found = separation(known, other, Rng(0))
    truth, both = np.repeat([1, 0], [n, m]), np.concatenate([known, other])
    assert found.auroc.value == pytest.approx(roc_auc_score(truth, both))
    assert found.aupr_in.value == pytest.approx(average_precision_score(truth, both))
    assert found.aupr_out.value == pytest.approx(average_precision_score(1 - truth, -both))
    false, true, _ = roc_curve(truth, both, drop_intermediate=False)
    assert found.fpr95.value == pytest.approx(false[true >= 0.95].min())
    for figure in (found.auroc, found.aupr_in, found.aupr_out, found.fpr95):
        assert 0.0 <= figure.low <= figure.value <= figure.high <= 1.0


def test_kinds_that_are_apart_leave_an_interval() -> None:
    found = separation(np.arange(10.0, 20.0), np.arange(0.0, 8.0), Rng(0))
    assert (found.auroc.value, found.aupr_in.value, found.aupr_out.value, found.fpr95.value) == (1, 1, 1, 0)
    assert found.auroc.low < 0.9
    assert found.aupr_in.low < 0.9
    assert found.fpr95.high > 0.2
    turned = separation(np.arange(0.0, 8.0), np.arange(10.0, 20.0), Rng(0))
    assert (turned.auroc.value, turned.auroc.low, turned.fpr95.value) == (0.0, 0.0, 1.0)
    assert turned.auroc.high > 0.1


def test_the_interval_of_an_area_solves_its_equation() -> None:
    low, high = auroc_interval(0.8, 40, 60)
    for true in (low, high):
        q1, q2, half = true / (2 - true), 2 * true**2 / (1 + true), 49
        variance = (true * (1 - true) + half * (q1 - true**2) + half * (q2 - true**2)) / 2400
        assert abs(0.8 - true) == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-4)
    assert low < 0.8 < high


@pytest.mark.parametrize(("known", "other"), [([], [1.0]), ([1.0], []), ([float("nan")], [1.0])])
def test_what_makes_no_sense_is_refused(known: list[float], other: list[float]) -> None:
    with pytest.raises(DataError, match="finite scores"):
        separation(known, other, Rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("apart", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(("n", "m"), [(100, 100), (400, 150)])
def test_intervals_cover(apart: float, n: int, m: int) -> None:
    whole = separation(*scores(0, 400_000, 400_000, apart=apart), Rng(0))
    # Average precision depends on the share of positives, which the truth must share with the samples.
    size = 200_000
    exact = separation(*scores(1, size, size * m // n, apart=apart), Rng(0))
    truth = (whole.auroc.value, exact.aupr_in.value, exact.aupr_out.value, whole.fpr95.value)
    held = np.zeros(4)
    for seed in range(2, 302):
        found = separation(*scores(seed, n, m, apart=apart), Rng(seed))
        figures = (found.auroc, found.aupr_in, found.aupr_out, found.fpr95)
        held += [each.low <= value <= each.high for each, value in zip(figures, truth, strict=True)]
    assert (held / 300 >= 0.90).all(), held / 300
