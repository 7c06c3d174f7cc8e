"""What each weather, digital and extra corruption promises of its own."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions import frost as frost_module
from clearsight.data.corruptions.albumentation import Albumentation
from clearsight.data.corruptions.brightness import Brightness
from clearsight.data.corruptions.contrast import Contrast
from clearsight.data.corruptions.elastic_transform import ElasticTransform
from clearsight.data.corruptions.fog import Fog, plasma
from clearsight.data.corruptions.frost import Frost
from clearsight.data.corruptions.frost_textures import PANES, procedural
from clearsight.data.corruptions.jpeg_compression import JpegCompression
from clearsight.data.corruptions.pixelate import Pixelate
from clearsight.data.corruptions.saturate import Saturate
from clearsight.data.corruptions.snow import Snow
from clearsight.data.corruptions.spatter import Spatter

RNG = Rng(0).at("corrupt", "sample")
STOCHASTIC = ("snow", "frost", "fog", "elastic_transform", "spatter")
TABLES = ("imagenet_c", "cifar_c", "tiny_imagenet_c")


@pytest.fixture(scope="module")
def image():
    return cv2.resize(skimage.data.coffee(), (120, 80), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("kind", [*STOCHASTIC, "brightness", "contrast", "pixelate", "jpeg_compression"])
def test_a_grey_image_is_damaged_like_its_colour_twin(kind, image):
    """One channel or three equal ones: the grey levels stay close (frost and mud have colours of their own)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    for severity in (1, 3, 5):
        corruption = CORRUPTIONS[kind](severity=severity, table="imagenet_c")
        one, three = corruption(grey, RNG), corruption(grey.repeat(3, axis=2), RNG)
        luma = cv2.cvtColor(three, cv2.COLOR_RGB2GRAY)
        assert np.abs(one[..., 0].astype(int) - luma).mean() < 1.5


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", STOCHASTIC)
def test_threads_change_nothing(kind, table):
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    image = cv2.resize(skimage.data.chelsea(), (451, 300))
    before = cv2.getNumThreads()
    for severity in range(1, 6):
        made = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            with threadpoolctl.threadpool_limits(threads):
                made.append(CORRUPTIONS[kind](severity=severity, table=table)(image, RNG))
        cv2.setNumThreads(before)
        one_thread, two_threads = made
        np.testing.assert_array_equal(one_thread, two_threads)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(TABLES), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_brightness_keeps_the_ratios_of_the_channels(colour, table, severity):
    image = np.full((16, 16, 3), colour, np.uint8)
    added = 255 * Brightness.ADDED[table][severity - 1]
    out = Brightness(severity=severity, table=table)(image, RNG)[0, 0]
    largest = max(colour)
    wanted = min(largest + added, 255) * (np.array(colour) / largest if largest else np.ones(3))
    np.testing.assert_allclose(out, np.floor(wanted + 1e-6), atol=0)


def test_contrast_keeps_the_mean(image):
    for severity in range(1, 6):
        out = Contrast(severity=severity, table="imagenet_c")(image, RNG)
        # Cutting the fraction off costs half a level on average.
        np.testing.assert_allclose(out.mean((0, 1)), image.mean((0, 1)) - 0.5, atol=0.5)
        np.testing.assert_allclose(
            out.std((0, 1)), image.std((0, 1)) * Contrast.FACTOR["imagenet_c"][severity - 1], atol=0.5
        )


def test_saturate_keeps_the_largest_channel_and_turns_grey_red(image):
    for severity in range(1, 6):
        out = Saturate(severity=severity, table="imagenet_c")(image, RNG)
        np.testing.assert_array_equal(out.max(axis=2), image.max(axis=2))
    grey = np.full((16, 16, 3), 100, np.uint8)
    assert Saturate(severity=3, table="imagenet_c")(grey, RNG)[0, 0].tolist() == [100, 100, 100]
    assert Saturate(severity=5, table="imagenet_c")(grey, RNG)[0, 0].tolist() == [100, 80, 80]
    single = image[..., :1]
    np.testing.assert_array_equal(Saturate(severity=5, table="imagenet_c")(single, RNG), single)


def test_saturate_pales_then_deepens(image):
    def chroma(image):
        return (image.max(axis=2).astype(int) - image.min(axis=2)).mean()

    levels = [chroma(Saturate(severity=severity, table="imagenet_c")(image, RNG)) for severity in range(1, 6)]
    assert levels[1] < levels[0] < chroma(image) < levels[2] < levels[3] < levels[4]


def test_pixelate_leaves_so_many_blocks():
    noise = Rng(1).numpy().integers(0, 256, (40, 60, 3), dtype=np.uint8)
    out = Pixelate(severity=5, table="imagenet_c")(noise, RNG)
    assert len(np.unique(out.reshape(-1, 3), axis=0)) == 10 * 15
    np.testing.assert_array_equal(out[0, 0], np.rint(noise[:4, :4].mean((0, 1))))


def test_jpeg_is_a_fixed_point_of_itself_nearly(image):
    once = JpegCompression(severity=5, table="imagenet_c")(image, RNG)
    twice = JpegCompression(severity=5, table="imagenet_c")(once, RNG)
    change = np.abs(twice.astype(int) - once).mean()
    assert change < 0.25 * np.abs(once.astype(int) - image).mean()


@pytest.mark.parametrize("side", [16, 64, 256])
def test_plasma_is_periodic_and_rougher_where_it_decays_less(side):
    rough = {}
    for decay in (1.4, 2, 3):
        maps = [plasma(side, decay, Rng(seed).at("plasma").numpy()) for seed in range(8)]
        assert all(field.min() == 0 and field.max() == 1 for field in maps)
        steps = [np.abs(np.diff(field, axis=0)).mean() for field in maps]
        seams = [np.abs(field[0] - field[-1]).mean() for field in maps]
        rough[decay] = np.mean(steps)
        # A map that did not wrap around would jump by about a third of the range at its seam.
        assert np.mean(seams) < 2 * rough[decay] + 0.02
    assert rough[1.4] > rough[2] > rough[3]


def test_fog_never_exceeds_the_largest_value(image):
    dark = (image // 2).astype(np.uint8)
    for severity in range(1, 6):
        assert Fog(severity=severity, table="imagenet_c")(dark, RNG).max() <= dark.max()


@pytest.mark.parametrize("table", TABLES)
def test_snow_only_brightens(image, table):
    for severity in range(1, 6):
        out = Snow(severity=severity, table=table)(image, RNG).astype(int)
        # One grey level is lost where the fraction is cut off.
        assert (out - image).min() >= -1
        assert out.mean() > image.mean() + 1


def test_spatter_adds_water_and_covers_with_mud(image):
    for severity in (1, 2, 3):
        assert (Spatter(severity=severity, table="imagenet_c")(image, RNG) >= image).all()
    out = Spatter(severity=5, table="imagenet_c")(image, RNG)
    mud = np.abs(out.astype(int) - Spatter.MUD).max(axis=2) <= 30
    same = (out == image).all(axis=2)
    assert 0.02 < mud.mean() < 0.5
    assert (mud | same).mean() > 0.9


class LowestNumbers(np.random.Generator):
    """A generator whose words are all zero: every normal number drawn from it is the lowest."""

    def integers(self, low: Any, high: Any = None, size: Any = None, *_: Any, **__: Any) -> Any:
        return np.zeros(size, np.uint64)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_spatter_without_a_drop_changes_nothing(severity, image):
    np.testing.assert_array_equal(
        Spatter(severity=severity, table="imagenet_c").apply(image, LowestNumbers(np.random.PCG64(0))), image
    )


def test_frost_textures_are_equal_in_every_process_and_differ_from_each_other():
    first = [procedural(number).copy() for number in range(2)]
    procedural.cache_clear()
    for number, texture in enumerate(first):
        np.testing.assert_array_equal(procedural(number), texture)
        assert not procedural(number).flags.writeable
    means = [procedural(number).mean() for number in range(len(PANES))]
    assert len({round(mean) for mean in means}) == len(PANES)


@pytest.mark.parametrize("shape", [(16, 200, 3), (200, 16, 1), (700, 900, 3)], ids=str)
def test_frost_fits_any_shape(shape):
    for table in TABLES:
        for seed in range(6):
            out = Frost(severity=5, table=table)(np.zeros(shape, np.uint8), Rng(seed))
            assert 0 < out.mean() < 255


def test_frost_without_the_photographs_says_what_to_do(monkeypatch, image):
    frost_module.photograph.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed; pip install .* textures: procedural"):
        Frost(textures="imagenet_c")(image, RNG)


def test_elastic_keeps_even_images_and_bends_sizes_alike():
    even = np.full((40, 50, 3), 77, np.uint8)
    for severity in range(1, 6):
        np.testing.assert_array_equal(
            ElasticTransform(severity=severity, table="imagenet_c")(even, RNG), even
        )
    photo = skimage.data.astronaut()
    changes = []
    for side in (64, 128, 256):
        image = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        made = [ElasticTransform(severity=2, table="imagenet_c")(image, Rng(seed)) for seed in range(24)]
        changes.append(np.mean([np.abs(out.astype(int) - image).mean() for out in made]))
    assert max(changes) < 1.3 * min(changes)


@pytest.mark.parametrize("name", ["RandomRain", "RandomSunFlare", "RandomShadow", "ISONoise"])
def test_albumentations_is_a_condition(name, image):
    condition = Albumentation(transform=name)
    first = condition(image, RNG)
    np.testing.assert_array_equal(condition(image, RNG), first)
    assert (first != image).any()
    assert any((condition(image, Rng(seed)) != first).any() for seed in range(5))
    assert condition(image[..., :1], RNG).shape == (*image.shape[:2], 1)


def test_albumentations_takes_arguments(image):
    out = Albumentation(transform="GaussianBlur", arguments={"sigma_limit": (3, 3), "blur_limit": 0})
    soft = out(image, RNG)
    assert (
        np.abs(np.diff(soft.astype(int), axis=0)).mean() < np.abs(np.diff(image.astype(int), axis=0)).mean()
    )
    assert out.key() != Albumentation(transform="GaussianBlur").key()
    off = Albumentation(transform="GaussianBlur", arguments={"p": 0.0})
    np.testing.assert_array_equal(off(image, RNG), image)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"transform": "RandomRian"}, ConfigError, "no such transform; did you mean 'RandomRain'"),
        ({"transform": "qqq"}, ConfigError, "no such transform"),
        ({"transform": "Compose"}, ConfigError, "no such transform"),
        (
            {"transform": "GaussianBlur", "arguments": {"sigma_limits": 3}},
            ConfigError,
            "no such argument; did you mean 'sigma_limit'",
        ),
        ({"transform": "ISONoise", "arguments": {"intensity": "much"}}, ConfigError, "refuses its arguments"),
        ({"transform": "CenterCrop", "arguments": {"height": 8, "width": 8}}, ShapeError, "returned"),
    ],
)
def test_albumentations_refuses_clearly(fields, error, message, image):
    with pytest.raises(error, match=message):
        Albumentation(**fields)(image, RNG)
