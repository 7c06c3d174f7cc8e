"""Every kind of filter keeps the promises of `clearsight.defend.poison_filters.base`."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import POISON_FILTERS
from clearsight.defend.poison_filters.base import PoisonFilter

KINDS = sorted(POISON_FILTERS.kinds)
CLASSES, EACH, WIDTH, BAD = 5, 60, 12, 9


def make(kind: str) -> PoisonFilter:
    return POISON_FILTERS[kind]()


def features() -> tuple[np.ndarray, np.ndarray]:
    """Return features of five classes; the first nine images of the class 2 lie elsewhere."""
    rng = Rng(4).at("features").numpy()
    labels = np.repeat(np.arange(CLASSES), EACH)
    values = rng.normal(size=(len(labels), WIDTH)) * 0.3 + 3.0 * np.eye(CLASSES, WIDTH)[labels]
    values[2 * EACH : 2 * EACH + BAD, 8:] += 3.0
    return values, labels


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_verdicts_for_every_image(kind: str) -> None:
    values, labels = features()
    found = make(kind).sift(values, labels)
    assert found.scores.shape == found.removed.shape == labels.shape
    assert found.removed.dtype == bool
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_apart_is_found(kind: str) -> None:
    values, labels = features()
    found = make(kind).sift(values, labels)
    bad = np.zeros(len(labels), bool)
    bad[2 * EACH : 2 * EACH + BAD] = True
    assert found.removed[bad].all()
    assert found.removed[~bad].mean() < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_images_does_not_matter(kind: str) -> None:
    values, labels = features()
    order = Rng(5).at("order").numpy().permutation(len(labels))
    found, again = make(kind).sift(values, labels), make(kind).sift(values[order], labels[order])
    assert np.allclose(found.scores[order], again.scores, rtol=1e-6, atol=1e-9)
    assert np.array_equal(found.removed[order], again.removed)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_one_image_and_equal_features_are_no_trouble(kind: str) -> None:
    values, labels = np.ones((20, 3)), np.array([0] * 19 + [1])
    found = make(kind).sift(values, labels)
    assert np.isfinite(found.scores).all()
    assert not found.removed[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_described(kind: str) -> None:
    assert make(kind).purpose
    assert POISON_FILTERS.parse({"kind": kind}).key() == make(kind).key()
