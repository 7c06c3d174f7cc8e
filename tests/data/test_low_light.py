"""Low light: the distribution behind the draws, and what a sensor with little light must do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import skimage.data

from clearsight.data.benchmark.sets import SETS
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.base import Table
from clearsight.data.corruptions.low_light import (
    READ_NOISE,
    WHITE,
    LowLight,
    alias_table,
    level_counts,
    to_linear,
)

EVERY = [factors[place] for factors in LowLight.FACTORS.values() for place in (0, 4)]


def probability(level: int, factor: float) -> np.ndarray:
    """The model written out anew: convolve the Poisson counts with normal noise, then cut into outputs."""
    mean = to_linear(np.array(level / 255)) * WHITE / factor
    counts = np.arange(0, int(mean + 15 * np.sqrt(mean) + 30))
    weight = scipy.stats.poisson.pmf(counts, mean)
    edges = to_linear((np.arange(255) + 0.5) / 255) * WHITE
    below = [float(weight @ scipy.stats.norm.cdf(edge, counts, READ_NOISE)) for edge in edges]
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


@pytest.mark.parametrize("factor", EVERY)
def test_the_table_is_the_sensor_model(factor: float) -> None:
    counts = level_counts(factor)
    assert counts.shape == (256, 256)
    assert (counts >= 0).all()
    assert (counts.sum(axis=1) == 65536).all()
    for level in (0, 1, 40, 128, 255):
        assert np.abs(counts[level] / 65536 - probability(level, factor)).max() < 2**-16


@pytest.mark.parametrize("factor", EVERY)
def test_slots_hold_the_counts(factor: float) -> None:
    bits, entries = alias_table(factor)
    counts, room = level_counts(factor), 1 << (16 - bits)
    share, second, first = entries >> 16, entries >> 8 & 255, entries & 255
    for level in (0, 17, 255):
        part = slice(level << bits, (level + 1) << bits)
        got = np.bincount(first[part], share[part], minlength=256)
        got += np.bincount(second[part], room - share[part].astype(np.int64), minlength=256)
        np.testing.assert_array_equal(got, counts[level])


@pytest.mark.parametrize("table", ["imagenet_c", "cifar_c"])
def test_draws_follow_the_table(table: Table) -> None:
    for severity in (1, 5):
        factor = LowLight.FACTORS[table][severity - 1]
        for level in (3, 128, 255):
            image = np.full((200, 200, 1), level, np.uint8)
            out = LowLight(severity=severity, table=table)(image, Rng(3).at(level))
            seen = np.bincount(out.ravel(), minlength=256)
            expected = level_counts(factor)[level] / 65536 * out.size
            often = expected >= 5
            assert seen[expected == 0].sum() == 0
            chi = ((seen - expected)[often] ** 2 / expected[often]).sum()
            assert scipy.stats.chi2.sf(chi, max(1, often.sum() - 1)) > 1e-5


@pytest.mark.parametrize("table", ["imagenet_c", "cifar_c"])
def test_light_falls_by_the_factor_and_noise_grows(table: Table) -> None:
    photo = skimage.data.astronaut()[:256, :256]
    light = to_linear(photo / 255)
    errors = []
    for severity, factor in enumerate(LowLight.FACTORS[table], 1):
        out = LowLight(severity=severity, table=table)(photo, Rng(1).at("photo"))
        dark = to_linear(out / 255)
        bright = light > 0.5
        # Where many electrons were counted, clipping at black cannot raise the mean.
        if factor <= 64:
            assert dark[bright].mean() * factor == pytest.approx(light[bright].mean(), rel=0.02)
        errors.append(float(np.square(dark * factor - light).mean()))
    assert errors == sorted(errors)


def test_colour_and_grey_pixels_are_drawn_by_themselves() -> None:
    grey = np.full((128, 128, 3), 150, np.uint8)
    out = LowLight(severity=3, table="imagenet_c")(grey, Rng(2)).reshape(-1, 3).astype(float)
    assert np.abs(np.corrcoef(out.T) - np.eye(3)).max() < 0.03


def test_srgb_curve_is_the_standard_one() -> None:
    assert to_linear(np.array([0.0, 0.04045, 0.5, 1.0])) == pytest.approx(
        [0.0, 0.04045 / 12.92, 0.21404, 1.0], abs=1e-5
    )


def test_is_no_part_of_imagenet_c() -> None:
    assert all("low_light" not in kinds for kinds in SETS.values())
