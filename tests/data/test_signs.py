from __future__ import annotations

import hashlib

import numpy as np
import pytest

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.signs.faces import FACES, face
from clearsight.data.signs.scene import BACKGROUNDS, render
from clearsight.data.sources.signs import CLASSES, Signs

GOLDEN = np.array([[79.53, 56.42, 58.65], [134.22, 118.48, 111.08], [126.17, 105.77, 117.83]])
"""Mean colour of images 0, 5 and 16 of the test split."""


def images(source: Signs, count: int) -> np.ndarray:
    found = source.read(source.index().entries[:count])
    return np.stack([sample.image for sample in found if isinstance(sample, Sample)])


def test_classes_take_turns() -> None:
    index = Signs(count=3 * len(FACES)).index()
    assert len(FACES) >= 12
    assert np.bincount([entry.truth or 0 for entry in index.entries]).tolist() == [3] * len(FACES)
    assert index.entries[42].id == "signs/test/000042"


def test_an_image_depends_on_its_number_only() -> None:
    few, many = Signs(count=5), Signs(count=500)
    np.testing.assert_array_equal(images(few, 5), images(many, 5))


def test_splits_share_neither_photographs_nor_scenes() -> None:
    assert not set(BACKGROUNDS["train"]) & set(BACKGROUNDS["test"])
    assert not np.array_equal(images(Signs(split="train"), 4), images(Signs(split="test"), 4))


@pytest.mark.parametrize("pixels", [16, 33, 224])
def test_any_size_shows_the_same_scene(pixels: int) -> None:
    import cv2

    for number in range(4):
        stream = Rng(1).at(number)
        small = render("stop", "test", 64, stream.numpy())
        other = render("stop", "test", pixels, stream.numpy())
        assert other.shape == (pixels, pixels, 3)
        side = min(pixels, 64)
        pair = [
            cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA).astype(float) for p in (small, other)
        ]
        assert np.abs(pair[0] - pair[1]).mean() < 12


def test_faces_differ_and_are_premultiplied() -> None:
    faces = {name: face(name, 48) for name in FACES}
    for name, one in faces.items():
        assert one.shape == (48, 48, 4)
        assert (one[..., :3] <= one[..., 3:] + 1e-6).all()
        assert one[..., 3].mean() > 0.35
        for other in FACES:
            assert other == name or np.abs(one - faces[other]).mean() > 0.01


def test_scenes_are_varied_and_well_exposed() -> None:
    scenes = images(Signs(split="train", count=170), 170).astype(float)
    brightness = scenes.mean((1, 2, 3))
    assert 60 < brightness.mean() < 160
    assert brightness.std() > 15
    assert scenes.std((1, 2, 3)).min() > 5


def test_golden_within_a_grey_level() -> None:
    """Raise `Signs.revision` if this changes: results on the set change with it."""
    small = images(Signs(), 17).reshape(17, 8, 8, 8, 8, 3).mean((2, 4))
    found = small.mean((1, 2))
    np.testing.assert_allclose(found[[0, 5, 16]], GOLDEN, atol=1.0)


def test_same_bytes_twice() -> None:
    digests = {hashlib.sha256(images(Signs(), 6).tobytes()).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_the_named_classes_are_the_drawn_ones() -> None:
    assert tuple(FACES) == CLASSES
