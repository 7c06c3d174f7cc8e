"""Noise and blur: the tables behind the draws, and exact results where they are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.base import Table
from clearsight.data.corruptions.fields import normal, normal_table, words
from clearsight.data.corruptions.glass_blur import displacements, visited, walk
from clearsight.data.corruptions.impulse_noise import ImpulseNoise
from clearsight.data.corruptions.kernels import disk, gaussian_taps, line, smooth, streak
from clearsight.data.corruptions.shot_noise import ShotNoise, alias_table, level_counts
from clearsight.data.corruptions.zoom_blur import ZoomBlur


def test_words_are_uniform():
    draw = words(Rng(1).numpy(), 400_001)
    assert draw.shape == (400_001,)
    for bits in (draw >> 8, draw & 255):
        assert scipy.stats.chisquare(np.bincount(bits, minlength=256)).pvalue > 1e-4
    assert abs(np.corrcoef(draw[:-1], draw[1:])[0, 1]) < 0.01


def test_normal_table_is_normal_to_its_stated_accuracy():
    table = normal_table().astype(np.float64)
    assert abs(table.mean()) < 1e-7
    assert table.var() == pytest.approx(1, abs=1e-6)
    assert scipy.stats.kurtosis(table) == pytest.approx(0, abs=2e-3)
    below = scipy.stats.norm.cdf(table)
    step = np.arange(table.size)
    assert max((below - step / table.size).max(), ((step + 1) / table.size - below).max()) < 2**-16
    assert table.max() == pytest.approx(4.39, abs=0.005)
    draw = normal(Rng(2).numpy(), (300, 400, 3))
    assert scipy.stats.kstest(draw.ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("photons", [c for row in ShotNoise.PHOTONS.values() for c in row])
def test_shot_noise_table_is_the_poisson_distribution(photons):
    counts = level_counts(photons)
    assert (counts.sum(axis=1) == 65536).all()
    for level in (0, 1, 2, 40, 128, 200, 254, 255):
        chance = scipy.stats.poisson.pmf(np.arange(photons + 400), level / 255 * photons)
        outputs = (np.clip(np.arange(photons + 400) / photons, 0, 1) * 255).astype(np.uint8)
        exact = np.bincount(outputs, chance, minlength=256)
        assert np.abs(counts[level] / 65536 - exact).max() < 2**-16
    bits, entries = alias_table(photons)
    room = 1 << (16 - bits)
    share, second, first = entries >> 16, entries >> 8 & 255, entries & 255
    for level in range(256):
        part = slice(level << bits, (level + 1) << bits)
        got = np.bincount(first[part], share[part], minlength=256)
        got += np.bincount(second[part], room - share[part].astype(np.int64), minlength=256)
        np.testing.assert_array_equal(got, counts[level])


@pytest.mark.parametrize("table", ["imagenet_c", "cifar_c"])
def test_shot_noise_draws_from_its_table(table):
    for severity, photons in enumerate(ShotNoise.PHOTONS[table], 1):
        for level in (3, 90, 230):
            image = np.full((300, 300, 1), level, np.uint8)
            out = ShotNoise(severity=severity, table=table)(image, Rng(3).at(level))
            seen = np.bincount(out.ravel(), minlength=256)
            expected = level_counts(photons)[level] / 65536 * out.size
            often = expected >= 5
            assert seen[expected == 0].sum() == 0
            chi = ((seen - expected)[often] ** 2 / expected[often]).sum()
            assert scipy.stats.chi2.sf(chi, max(1, often.sum() - 1)) > 1e-5


@pytest.mark.parametrize("table", ["imagenet_c", "cifar_c"])
def test_impulse_noise_replaces_its_share(table):
    image = np.full((200, 300, 3), 100, np.uint8)
    for severity, amount in enumerate(ImpulseNoise.AMOUNTS[table], 1):
        out = ImpulseNoise(severity=severity, table=table)(image, Rng(4))
        assert set(np.unique(out)) == {0, 100, 255}
        for value in (0, 255):
            share = np.mean(out == value)
            assert share == pytest.approx(amount / 2, abs=5 * (amount / 2 / image.size) ** 0.5)


@settings(max_examples=25, deadline=None)
@given(
    reach=st.integers(1, 4), height=st.integers(16, 40), width=st.integers(16, 40), seed=st.integers(0, 999)
)
def test_glass_walk_equals_walking(reach, height, width, seed):
    size = (height, width)
    choice = displacements(Rng(seed).numpy(), size, reach).astype(int)
    offsets = (choice // (2 * reach) - reach) * width + choice % (2 * reach) - reach
    values = np.arange(height * width)
    rows, columns = visited(height, reach), visited(width, reach)
    assert (rows.start, rows.stop - 1) == (reach + 1, height - reach)
    for y in range(rows.stop - 1, rows.start - 1, -1):
        for x in range(columns.stop - 1, columns.start - 1, -1):
            here = y * width + x
            values[here] = values[here + offsets[y - rows.start, x - columns.start]]
    start = np.arange(height * width).reshape(size)
    np.testing.assert_array_equal(walk(start, choice.astype(np.uint8), reach), values.reshape(size))


@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_glass_displacements_are_uniform(reach):
    choice = displacements(Rng(5).numpy(), (400, 500), reach)
    assert choice.shape == (400 - 2 * reach, 500 - 2 * reach)
    counts = np.bincount(choice.ravel())
    assert counts.size == 4 * reach**2
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("kind", ["defocus_blur", "zoom_blur", "gaussian_blur", "motion_blur", "glass_blur"])
@pytest.mark.parametrize("table", ["imagenet_c", "cifar_c"])
def test_blurs_treat_channels_alike_and_keep_even_areas(kind, table):
    grey = skimage.data.camera()[100:170, 200:290, None]
    for severity in range(1, 6):
        corruption = CORRUPTIONS[kind](severity=severity, table=table)
        one = corruption(grey, Rng(6))
        three = corruption(grey.repeat(3, axis=2), Rng(6))
        np.testing.assert_allclose(three.astype(int), one.astype(int).repeat(3, axis=2), atol=1)
        for level in (0, 1, 100, 255):
            even = np.full((64, 64, 3), level, np.uint8)
            atol = 3 if kind == "defocus_blur" and severity >= 4 else 0
            np.testing.assert_allclose(corruption(even, Rng(6)).astype(int), even, atol=atol)


def test_kernels_are_normalised_and_symmetric():
    for sigma in (0.05, 0.4, 1, 6):
        taps = gaussian_taps(sigma)
        assert taps.sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_array_equal(taps, taps[::-1])
    for radius, softness in ((0.3, 0.4), (3, 0.1), (6, 0.5), (10, 0.5)):
        psf = disk(radius, softness)
        assert psf.sum() == pytest.approx(1.0108 if radius == 10 else 1, abs=1e-4)
        np.testing.assert_allclose(psf, psf.T, atol=1e-8)
        np.testing.assert_allclose(psf, psf[::-1, ::-1], atol=1e-8)


def test_streak_is_a_plain_weighted_sum():
    image = skimage.data.coffee()[:50, :60]
    for angle in (-45, -13, 0, 30, 45):
        taps = line(10, 3, angle, 50, 60)
        assert sum(tap[2] for tap in taps) == pytest.approx(1)
        rows, columns = np.mgrid[:50, :60]
        expected = sum(
            weight * image[np.clip(rows + dy, 0, 49), np.clip(columns + dx, 0, 59)].astype(float)
            for dy, dx, weight in taps
        )
        np.testing.assert_allclose(streak(image, taps), expected, atol=1e-3)


def test_smoothing_continues_the_border():
    image = skimage.data.astronaut()[:40, :30]
    padded = np.pad(image, ((30, 30), (30, 30), (0, 0)), mode="edge")
    np.testing.assert_allclose(smooth(image, 3), smooth(padded, 3)[30:-30, 30:-30], atol=1e-3)


def test_zoom_factors_are_those_of_the_published_ranges():
    stops: dict[Table, tuple[tuple[float, float], ...]] = {
        "imagenet_c": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "cifar_c": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "tiny_imagenet_c": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    }
    for table, ranges in stops.items():
        for (step, count), (stop, given_step) in zip(ZoomBlur.ZOOMS[table], ranges, strict=True):
            factors = 1 + ((1 + step) - 1) * np.arange(count)
            np.testing.assert_array_equal(factors, np.arange(1, stop, given_step))
