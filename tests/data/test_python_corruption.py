"""A corruption of the user's own code: what it is given, what is tried, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearsight.data.benchmark.write import expand
from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.python import PythonCorruption

CODE = """
import numpy as np

made = []


def dim(image, severity):
    return image // severity


def plus(image, amount=1):
    image += amount
    return image


def anything(image, **told):
    return np.full_like(image, len(told) + told["severity"] + told["rng"].integers(0, 1))


class Flat:
    def __init__(self, level):
        made.append(level)
        self.level = level

    def __call__(self, image):
        return np.full_like(image, self.level)


def restless(image):
    return np.random.default_rng().integers(0, 255, image.shape).astype(np.uint8)


def floats(image):
    return image / 255


def smaller(image):
    return image[1:]


def fails(image):
    raise ValueError("no rain today")


def nothing(image):
    pass
"""


@pytest.fixture
def made(tmp_path: Path) -> Any:
    (tmp_path / "mine.py").write_text(CODE)
    return lambda name, **fields: PythonCorruption(call=f"{tmp_path}/mine.py:{name}", **fields)


def image() -> np.ndarray:
    return Rng(0).at("image").numpy().integers(20, 200, (20, 17, 3), np.uint8)


def test_it_is_given_what_it_has_parameters_for(made: Any) -> None:
    x, rng = image(), Rng(0)
    before = x.copy()
    np.testing.assert_array_equal(made("dim", severity=4)(x, rng), before // 4)
    np.testing.assert_array_equal(made("plus", arguments={"amount": 7})(x, rng), before + 7)
    np.testing.assert_array_equal(made("anything", severity=5)(x, rng), np.full_like(x, 7))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(made("dim", severity=0)(x, rng), before)


def test_a_class_is_called_once(made: Any) -> None:
    spec = made("Flat", arguments={"level": 9})
    spec.ready()
    for _ in range(3):
        assert (spec(image(), Rng(0)) == 9).all()
    assert spec.function().__init__.__globals__["made"] == [9]


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        (
            "restless",
            ConfigError,
            "equal images different results; draw random numbers from the parameter 'rng'",
        ),
        ("floats", ConfigError, "returns a float64 array, not a uint8 array"),
        ("smaller", ShapeError, r"returned uint8 \(23, 29, 3\)"),
        ("fails", ConfigError, "it fails on uint8 images .*: no rain today"),
        ("nothing", ConfigError, "returns a NoneType, not a uint8 array"),
        ("dimm", ConfigError, "did you mean 'dim'"),
    ],
)
def test_what_does_not_do_as_it_must_is_refused(
    name: str, error: type[Exception], match: str, made: Any
) -> None:
    with pytest.raises(error, match=match):
        made(name).ready()


def test_the_key_follows_the_code(made: Any, tmp_path: Path) -> None:
    key = made("dim").key()
    assert key == made("dim").key()
    assert key != made("plus").key()
    (tmp_path / "mine.py").write_text(CODE.replace("image // severity", "image // severity + 1"))
    assert key != made("dim").key()


def test_a_word_cannot_name_it() -> None:
    with pytest.raises(ConfigError, match="'python' is neither a corruption that a word can name nor a set"):
        expand(["python"], severities=[1])
