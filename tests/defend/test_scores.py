"""Scores against scikit-learn, brute force and cases that are known by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.defend.scores import accuracy, brier, ece, nll


def table(n: int = 200, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = Rng(0).at("scores").numpy()
    return generator.dirichlet(np.ones(k), n), generator.integers(0, k, n)


def brute_ece(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [j for j, c in enumerate(confidence) if low < c <= high or (i == 0 and c == 0)]
        if inside:
            total += abs(correct[inside].mean() - confidence[inside].mean()) * len(inside) / len(confidence)
    return total


def test_nll_and_brier_are_sklearns() -> None:
    shares, labels = table()
    assert nll(np.log(shares), labels) == pytest.approx(log_loss(labels, shares))
    onehot = np.eye(5)[labels]
    assert brier(shares, labels) == pytest.approx(((shares - onehot) ** 2).sum(axis=1).mean())


def test_scores_by_hand() -> None:
    sure, labels = np.eye(3), [0, 1, 2]
    assert accuracy([0, 1, 1], labels) == pytest.approx(2 / 3)
    assert brier(sure, labels) == 0.0
    assert brier(sure, [1, 2, 0]) == 2.0
    with np.errstate(divide="ignore"):
        assert nll(np.log(sure), labels) == 0.0
        assert nll(np.log(sure), [1, 1, 2]) == math.inf
    assert nll(np.full((4, 10), math.log(0.1)), [0, 1, 2, 3]) == pytest.approx(math.log(10))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([1, 2, 7, 15]),
)
def test_ece_is_the_definition(samples: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = (np.array(column, dtype=float) for column in zip(*samples, strict=True))
    # Values within rounding of an edge may fall on either side of it.
    if (np.abs(confidence * bins - np.round(confidence * bins)) > 1e-9).all():
        assert ece(confidence, correct, bins) == pytest.approx(
            brute_ece(confidence, correct, bins), abs=1e-12
        )


def test_adaptive_ece_has_bins_of_equal_mass() -> None:
    generator = Rng(2).numpy()
    confidence = generator.uniform(0.2, 1.0, 150)
    correct = generator.uniform(size=150) < confidence**2
    order = np.argsort(confidence)
    wanted = sum(
        abs(correct[part].mean() - confidence[part].mean()) * len(part) / 150 for part in np.split(order, 15)
    )
    assert ece(confidence, correct, adaptive=True) == pytest.approx(wanted)


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.9, 1.0]), st.booleans()), min_size=1), st.randoms())
@pytest.mark.slow
def test_ece_does_not_depend_on_the_order(samples: list[tuple[float, bool]], random: Random) -> None:
    for adaptive in (False, True):
        confidence, correct = zip(*samples, strict=True)
        one = ece(list(confidence), list(correct), adaptive=adaptive)
        shuffled = sorted(samples, key=lambda _: random.random())
        confidence, correct = zip(*shuffled, strict=True)
        assert ece(list(confidence), list(correct), adaptive=adaptive) == pytest.approx(one, abs=1e-12)
        assert 0.0 <= one <= 1.0


def test_ece_of_known_classifiers() -> None:
    assert ece([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0.0)
    assert ece([1.0] * 10, [False] * 10) == pytest.approx(1.0)
    assert ece([0.9] * 10, [True] * 8 + [False] * 2, adaptive=True) == pytest.approx(0.1)
    assert ece([0.95, 0.05], [True, False], bins=1) == pytest.approx(0.0)
    # float32 softmax may exceed 1 by rounding.
    assert ece(np.array([1.0000001], dtype=np.float32), [1]) == pytest.approx(0.0)


def test_ece_of_calibrated_predictions_is_small() -> None:
    generator = Rng(4).numpy()
    confidence = generator.uniform(0.1, 1.0, 20000)
    correct = generator.uniform(size=20000) < confidence
    assert ece(confidence, correct) < 0.015
    assert ece(confidence, correct, adaptive=True) < 0.015


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: accuracy([], []), "class indices"),
        (lambda: accuracy([1, 2], [1]), "1 labels for 2 predictions"),
        (lambda: accuracy([0.5], [1]), "class indices"),
        (lambda: brier([[2.0, 3.0]], [0]), "apply softmax"),
        (lambda: brier([[1.5, -0.5]], [0]), "apply softmax"),
        (lambda: brier([[math.nan, 1.0]], [0]), "apply softmax"),
        (lambda: brier([[0.5, 0.5]], [2]), "label 2"),
        (lambda: brier([[0.5, 0.5]], [-1]), "label -1"),
        (lambda: nll([[0.5, 0.5]], [0]), "apply softmax"),
        (lambda: ece([1.2], [1]), "outside"),
        (lambda: ece([math.nan], [1]), "outside"),
        (lambda: ece([0.5], [1, 0]), "do not match"),
        (lambda: ece([0.5], [1], bins=0), "too few"),
        (lambda: ece([], []), "at least one"),
    ],
)
def test_scores_refuse(call: Callable[[], float], match: str) -> None:
    with pytest.raises(DataError, match=match):
        call()
