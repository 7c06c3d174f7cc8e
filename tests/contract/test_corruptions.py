"""What every corruption in the registry must do; a new file is tested by being there."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.base import Corruption

KINDS = [kind for kind in CORRUPTIONS.kinds if kind != "identity"]
TABLES = ("imagenet_c", "cifar_c", "tiny_imagenet_c")
FIELDS = {"python": {"call": "own_toys:speckles"}}
"""What kinds need that cannot be left out."""
GRADED = [kind for kind in KINDS if kind not in ("albumentations", "python")]
"""Kinds whose severity changes the image (elsewhere other fields say how strong it is)."""
NOT_GROWING = {"elastic_transform"}
"""Its published constants go from wide to narrow stretches, not from weak to strong."""
RNG = Rng(0).at("corrupt")


@cache
def photo(name: str, height: int, width: int, channels: int) -> np.ndarray:
    image = np.atleast_3d(getattr(skimage.data, name)())[..., :3]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    if channels == 1:
        image = image.mean(axis=2, keepdims=True).astype(np.uint8)
    elif image.shape[2] == 1:
        image = image.repeat(3, axis=2)
    image = np.ascontiguousarray(image)
    image.flags.writeable = False
    return image


def make(kind: str, severity: int = 3, table: str = "imagenet_c") -> Corruption:
    return CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": table} | FIELDS.get(kind, {}))


@pytest.mark.parametrize("shape", [(17, 23, 3), (16, 16, 3), (64, 48, 3), (33, 40, 1), (16, 21, 1)], ids=str)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_gives_bytes_of_the_same_shape_and_leaves_its_input(kind, table, shape):
    image = photo("astronaut", *shape)
    before = image.copy()
    for severity in range(6):
        out = make(kind, severity, table)(image, RNG.at("one"))
        assert out.dtype == np.uint8
        assert out.shape == shape
        assert not np.shares_memory(out, image)
        assert out.flags.writeable
        if severity == 0:
            np.testing.assert_array_equal(out, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("kind", KINDS)
def test_even_images_are_fine(kind, level):
    image = np.full((32, 32, 3), level, np.uint8)
    for severity in (1, 5):
        assert make(kind, severity)(image, RNG).shape == image.shape


@pytest.mark.parametrize("kind", KINDS)
def test_depends_on_the_stream_only_where_it_says_so(kind):
    image = photo("coffee", 48, 40, 3)
    corruption = make(kind)
    first = corruption(image, RNG.at("one"))
    np.testing.assert_array_equal(first, corruption(image, RNG.at("one")))
    np.testing.assert_array_equal(first, make(kind)(image.copy(), Rng(0).at("corrupt", "one")))
    others = [corruption(image, RNG.at(f"other {i}")) for i in range(3)]
    differs = any(not np.array_equal(first, other) for other in others)
    assert differs == type(corruption).stochastic


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_calls_changes_nothing(kind):
    images = {name: photo(name, 40, 32, 3) for name in ("astronaut", "coffee", "chelsea")}
    corruption = make(kind)
    forth = {name: corruption(image, RNG.at(name)) for name, image in images.items()}
    for name in reversed(images):
        np.testing.assert_array_equal(forth[name], corruption(images[name], RNG.at(name)))


@pytest.mark.parametrize("kind", KINDS)
def test_takes_views(kind):
    image = photo("chelsea", 60, 50, 3)
    corruption = make(kind)
    for view in (image[3:43, 5:45], image[:, ::-1], image[::2], image[..., ::-1], image[..., 1:2]):
        np.testing.assert_array_equal(corruption(view, RNG), corruption(np.ascontiguousarray(view), RNG))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", GRADED)
def test_damage_grows_with_severity(kind, table):
    size = (128, 128) if table == "imagenet_c" else (32, 32)
    error = {1: 0.0, 5: 0.0}
    for name in ("astronaut", "coffee", "chelsea", "camera"):
        image = photo(name, *size, 3)
        for severity in error:
            out = make(kind, severity, table)(image, RNG.at(name))
            error[severity] += float(np.mean((out.astype(float) - image) ** 2)) / 4
    assert 1 < error[5] < 255**2 / 2
    assert error[5] > error[1] or kind in NOT_GROWING


@pytest.mark.parametrize("kind", GRADED)
def test_the_tables_differ(kind):
    image = photo("coffee", 64, 64, 3)
    outs = [[make(kind, severity, table)(image, RNG) for severity in range(1, 6)] for table in TABLES]
    assert any(not np.array_equal(a, b) for a, b, _ in zip(*outs, strict=True))


@pytest.mark.parametrize("kind", GRADED)
def test_constants_stand_in_the_class_for_every_table(kind):
    constants = [
        value
        for value in vars(CORRUPTIONS[kind]).values()
        if isinstance(value, dict) and value.keys() == set(TABLES) and isinstance(value["cifar_c"], tuple)
    ]
    assert constants
    for constant in constants:
        assert [len(constant[table]) for table in TABLES] == [5, 5, 5]


@pytest.mark.parametrize("kind", CORRUPTIONS.kinds)
def test_says_what_it_is(kind):
    cls: Any = CORRUPTIONS[kind]
    assert cls(**FIELDS.get(kind, {})).kind == kind
    assert cls.group in {"none", "noise", "blur", "weather", "digital", "extra"}
    assert (cls.group == "none") == (kind == "identity")
    assert cls.purpose
    assert (cls.__doc__ or "").strip()


@pytest.mark.parametrize("kind", KINDS)
def test_survives_yaml_and_keeps_its_key(kind):
    keys = set()
    for severity in range(6):
        for table in TABLES:
            spec = make(kind, severity, table)
            again = type(spec).model_validate(yaml.safe_load(yaml.safe_dump(spec.model_dump())))
            assert again == spec
            assert again.key() == spec.key() == make(kind, severity, table).key()
            keys.add(spec.key())
    assert len(keys) == 18

    base: Any = CORRUPTIONS[kind]

    class Raised(base):  # type: ignore[misc]  # mypy cannot know the class
        revision = base.revision + 1

    assert Raised(**FIELDS.get(kind, {})).key() != make(kind).key()


@pytest.mark.parametrize("kind", KINDS)
def test_touches_no_global_generator(kind, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a global random generator was used")

    image = photo("astronaut", 40, 40, 3)
    legacy = np.random.mtrand._rand
    for name in dir(legacy):
        if not name.startswith("_") and callable(getattr(np.random, name, None)):
            monkeypatch.setattr(np.random, name, refuse)
    for name in ("random", "randint", "uniform", "gauss", "choice", "shuffle", "randrange", "sample", "seed"):
        monkeypatch.setattr(random, name, refuse)
    for name in ("randu", "randn", "randShuffle", "setRNGSeed"):
        monkeypatch.setattr(cv2, name, refuse)
    for severity in range(1, 6):
        make(kind, severity)(image, RNG)


@pytest.mark.wrong_types("hands in an image of float32")
@pytest.mark.parametrize("kind", KINDS)
def test_refuses_what_it_cannot_take(kind):
    corruption = make(kind)
    wrong: list[Any] = [
        np.zeros((15, 20, 3), np.uint8),
        np.zeros((20, 15, 1), np.uint8),
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
    ]
    for image in wrong:
        with pytest.raises(ShapeError, match=kind):
            corruption(image, RNG)


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_other_severities(kind):
    for severity in (-1, 6, 2.5):
        with pytest.raises(ValueError):
            CORRUPTIONS[kind](severity=severity)


@settings(max_examples=10, deadline=None)
@given(
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    channels=st.sampled_from((1, 3)),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_image_of_any_size(kind, height, width, channels, seed):
    image = Rng(seed).numpy().integers(0, 256, (height, width, channels), dtype=np.uint8)
    for severity in (1, 5):
        for table in TABLES:
            out = make(kind, severity, table)(image, Rng(seed))
            assert out.dtype == np.uint8
            assert out.shape == image.shape


def test_the_registry_needs_no_heavy_library():
    code = (
        "import sys; from clearsight.data.catalogue import CORRUPTIONS; assert len(CORRUPTIONS.kinds) > 1; "
        "print([m for m in ('torch', 'cv2', 'numpy', 'scipy', 'PIL', 'skimage') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
