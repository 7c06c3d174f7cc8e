"""Every kind of poison keeps the promises of `clearsight.data.poisons.base`; a new file is tested by being there."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.data.catalogue import POISONS
from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.poisons.base import Poison

KINDS = sorted(POISONS.kinds)
SHAPES = ((64, 64, 3), (96, 70, 3), (64, 64, 1))


def make(kind: str) -> Poison:
    return POISONS[kind]()


def image(shape: tuple[int, ...]) -> np.ndarray:
    return Rng(1).at("image", *shape).numpy().integers(40, 216, shape, np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_type_and_the_image_itself_are_kept(kind: str, shape: tuple[int, ...]) -> None:
    before = image(shape)
    given = before.copy()
    refusal: ShapeError | None = None
    try:
        out = make(kind)(given)
    except ShapeError as error:
        refusal, out = error, given
    assert refusal is None or refusal.where == kind
    assert out.shape == shape
    assert out.dtype == np.uint8
    assert np.array_equal(given, before)


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_pixels_exactly_where_it_says_so(kind: str) -> None:
    given = image((64, 64, 3))
    assert np.array_equal(make(kind)(given), given) is not make(kind).triggered


@pytest.mark.parametrize("kind", KINDS)
def test_the_trigger_is_the_same_every_time(kind: str, no_global_rng: None) -> None:
    given = image((64, 64, 3))
    assert np.array_equal(make(kind)(given), make(kind)(given))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_described(kind: str) -> None:
    assert make(kind).purpose
    assert make(kind).kind == kind  # type: ignore[attr-defined]
    assert POISONS.parse({"kind": kind}).key() == make(kind).key()
