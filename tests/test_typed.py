"""The checks of annotations that tests/typed.py puts into the rooms are on, see shapes, and cost no generator."""

from __future__ import annotations

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from clearsight.data.contract.rng import Rng
from clearsight.data.media.resize import middle
from clearsight.defend.search.balls import project
from clearsight.restore.classical.gamma import Gamma


def test_wrong_types_are_refused_in_every_room() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        middle([1, 2], 1, 1)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        project(torch.zeros(1, 3, 2, 2), [0.0], "linf", 0.1)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        Rng(0).at(b"name")  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(TypeCheckError):
        Gamma().restore(torch.zeros(3, 16, 16), None)


@pytest.mark.wrong_types("sees that the marker leaves annotations unchecked")
def test_marked_tests_are_not_checked() -> None:
    assert Rng(0).at(b"name").path == ("b'name'",)  # type: ignore[arg-type]
