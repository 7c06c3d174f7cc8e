"""Noise and blur against the library `imagecorruptions`, with its random sources replaced by our fields."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import scipy.stats
import skimage.data

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.fields import normal, words
from clearsight.data.corruptions.glass_blur import displacements
from clearsight.data.corruptions.impulse_noise import ImpulseNoise

pytest.importorskip("imagecorruptions", reason="the peer library imagecorruptions is not installed")
from imagecorruptions import corrupt
from imagecorruptions import corruptions as peer

SEVERITIES = range(1, 6)
IMAGES = {
    "astronaut": (224, 224),
    "coffee": (150, 97),
    "chelsea": (64, 81),
    "camera": (32, 32),
}


def photo(name: str) -> np.ndarray:
    height, width = IMAGES[name]
    image = np.atleast_3d(getattr(skimage.data, name)())
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    return image if image.shape[2] == 3 else image.repeat(3, axis=2)


def stream() -> np.random.Generator:
    return Rng(11).at("parity").numpy()


def compare(kind: str, severity: int, name: str, *, share: float = 0.02, **options) -> None:
    """At most one grey level apart, and apart at all in a small share of values."""
    image = photo(name)
    ours = CORRUPTIONS[kind](severity=severity, table="imagenet_c").apply(image, stream()).astype(int)
    theirs = corrupt(image, severity, kind, **options).astype(int)
    apart = np.abs(ours - theirs)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= share


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", ["defocus_blur", "zoom_blur", "gaussian_blur"])
def test_deterministic_blurs(kind, severity, name):
    # The disk of severity 1 has 61 equal taps: sums are often whole levels, which the peer rounds either way.
    compare(kind, severity, name, share=0.1 if (kind, severity) == ("defocus_blur", 1) else 0.02)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", ["gaussian_noise", "speckle_noise"])
def test_normal_noise_with_an_equal_field(kind, severity, name, monkeypatch):
    field = normal(stream(), photo(name).shape).astype(np.float64)
    monkeypatch.setattr(peer.np.random, "normal", lambda size, scale: scale * field)
    compare(kind, severity, name, share=0.001)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_blur_with_an_equal_direction(severity, name, monkeypatch):
    angle = stream().uniform(-45, 45)
    monkeypatch.setattr(peer.np.random, "uniform", lambda low, high: angle)
    compare("motion_blur", severity, name)


class Replay(np.random.Generator):
    """A generator whose ``random`` returns given fields one after the other."""

    def replay(self, *fields: np.ndarray) -> Replay:
        self.fields = list(fields)
        return self

    def random(self, size: Any = None, dtype: Any = None, out: Any = None) -> Any:
        assert self.fields[0].shape == tuple(size)
        return self.fields.pop(0)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_with_an_equal_field(severity, name):
    shape = photo(name).shape
    word = words(stream(), int(np.prod(shape))).reshape(shape).astype(int)
    part = round(ImpulseNoise.AMOUNTS["imagenet_c"][severity - 1] / 2 * 65536)
    pepper, salt = word < part, word >= 65536 - part
    seed = Replay(np.random.PCG64(0)).replay(1.0 - (pepper | salt), 1.0 - salt)
    # The peer's x / 255 * 255 loses a level where it rounds down; the replaced values agree exactly.
    compare("impulse_noise", severity, name, share=1, seed=seed)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_replaces_as_many_values(severity):
    image = np.full((224, 224, 3), 100, np.uint8)
    ours = CORRUPTIONS["impulse_noise"](severity=severity, table="imagenet_c").apply(image, stream())
    theirs = corrupt(image, severity, "impulse_noise", seed=1)
    for value in (0, 255):
        a, b = np.mean(ours == value), np.mean(theirs == value)
        assert a == pytest.approx(b, abs=6 * (b / image.size) ** 0.5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_has_an_equal_distribution(severity, monkeypatch):
    generator = np.random.default_rng(5)
    monkeypatch.setattr(peer.np.random, "poisson", generator.poisson)
    for level in (0, 5, 60, 128, 200, 255):
        image = np.full((128, 128, 3), level, np.uint8)
        ours = CORRUPTIONS["shot_noise"](severity=severity, table="imagenet_c").apply(image, stream())
        theirs = corrupt(image, severity, "shot_noise")
        both = np.stack([np.bincount(out.ravel(), minlength=256) for out in (ours, theirs)])
        both = both[:, both.sum(axis=0) >= 10]
        if both.shape[1] > 1:
            assert scipy.stats.chi2_contingency(both).pvalue > 1e-4
        else:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["chelsea", "camera"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_with_equal_displacements(severity, name, monkeypatch):
    glass: Any = CORRUPTIONS["glass_blur"]
    _, reach, walks = glass.PANES["imagenet_c"][severity - 1]
    generator, steps = stream(), []
    for _ in range(walks):
        # The peer visits the pixels from the last to the first.
        choice = displacements(generator, photo(name).shape[:2], reach).ravel()[::-1].astype(int)
        steps += list(np.column_stack([choice % (2 * reach), choice // (2 * reach)]) - reach)
    todo = iter(steps)
    monkeypatch.setattr(peer.np.random, "seed", lambda seed: None)
    monkeypatch.setattr(peer.np.random, "randint", lambda low, high, size: next(todo))
    walked = peer._shuffle_pixels_njit_glass_blur.py_func
    monkeypatch.setattr(peer, "_shuffle_pixels_njit_glass_blur", walked)
    compare("glass_blur", severity, name)
    assert next(todo, None) is None


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.slow
def test_glass_blur_does_as_much_damage(severity):
    image, corruption = photo("astronaut"), CORRUPTIONS["glass_blur"](severity=severity, table="imagenet_c")
    ours, theirs = [], []
    for seed in range(8):
        ours.append(np.mean((corruption(image, Rng(seed)) - image.astype(float)) ** 2))
        theirs.append(np.mean((corrupt(image, severity, "glass_blur", seed=seed) - image.astype(float)) ** 2))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.02)
