"""Intervals of mCE and relative mCE hold the true value as often as they say, by simulation."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.analysis.corruption_error import SMALLEST_RISE, mean_ratio

Errors = NDArray[np.float64]
TIED = 0.5
"""Share of what decides an image's fate that is the image's own, in every condition; systems share as much."""


def drawn(
    place: tuple[int, int, int, float, float], runs: int
) -> tuple[list[tuple[Errors, Errors]], float, list[tuple[Errors, Errors]], float]:
    """Return errors of a system and a baseline with their true mCE, and rises with their true relative mCE.

    Args:
        place: images, types, severities, the baseline's mean error, and the system's by it.
        runs: how many.
    """
    images, types, severities, error, ratio = place
    generator = Rng(6).at("mce", *map(str, place)).numpy()
    spread = np.linspace(0.6, 1.4, types)[:, None] * np.linspace(0.7, 1.3, severities)
    under = error * (spread if severities > 1 else spread / 0.7)
    over, clean = np.clip(under * ratio, 0.0, 0.98), np.array([error / 3, error / 3 * 1.2])
    errors, rises = [], []
    for _ in range(runs):
        own = generator.standard_normal((images, types, severities))
        other = generator.standard_normal(own.shape)
        easy, alone = generator.standard_normal((2, images))
        base = TIED**0.5 * easy[:, None, None] + TIED**0.5 * own
        mine = TIED**0.5 * easy[:, None, None] + TIED * (own + other)
        a, b = ((fate < stats.norm.ppf(share)).mean(2).T for fate, share in ((mine, over), (base, under)))
        unharmed = (TIED**0.5 * (easy + alone) < stats.norm.ppf(clean)[:, None]).astype(float)
        errors.append((a, b))
        rises.append((a - unharmed[1], b - unharmed[0]))
    relative = (over.mean(1) - clean[1]) / (under.mean(1) - clean[0])
    return errors, float((over.mean(1) / under.mean(1)).mean()), rises, float(relative.mean())


def coverage(pairs: list[tuple[Errors, Errors]], true: float, least: float) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and the share of samples that have one."""
    found = [mean_ratio(over, under, "a baseline", least) for over, under in pairs]
    held = [each.low <= true <= each.high for each in found if each is not None]
    return float(np.mean(held)) if held else 1.0, len(held) / len(pairs)


@pytest.mark.parametrize("place", [(150, 15, 1, 0.06, 0.4), (150, 2, 5, 0.15, 1.8), (50, 2, 5, 0.45, 1.0)])
def test_mce_covers(place: tuple[int, int, int, float, float]) -> None:
    errors, true, _, _ = drawn(place, 150)
    share, defined = coverage(errors, true, 0.0)
    # Binomial error: 1.8 points.
    assert share >= 0.90
    assert defined >= 0.9


def test_a_ratio_by_itself_is_one_and_no_error_is_not_certain() -> None:
    few = np.zeros((3, 200))
    few[:, :9] = 1.0
    itself = mean_ratio(few, few, "itself", 0.0)
    assert itself is not None
    assert (itself.low, itself.value, itself.high) == (1.0, 1.0, 1.0)
    none = mean_ratio(np.zeros_like(few), few, "a baseline", 0.0)
    assert none is not None
    assert none.low == none.value == 0.0
    assert none.high > 0.01
    few[:, 1:] = 0.0
    assert mean_ratio(np.zeros_like(few), few, "one error", 0.0) is None


def test_a_fixed_denominator_gives_the_interval_of_a_mean() -> None:
    errors = (Rng(1).numpy().random((15, 400)) < 0.3).astype(float)
    found = mean_ratio(errors, np.full_like(errors, 0.5), "published errors", 0.0)
    assert found is not None
    half = 1.966 * errors.mean(0).std() / 0.5 / 20
    assert found.high - found.value == pytest.approx(half, rel=0.05)
    assert found.value - found.low == pytest.approx(half, rel=0.05)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_mce_covers_over_a_grid() -> None:
    told = {}
    for place in itertools.product((50, 150), (2, 15), (1, 5), (0.06, 0.15, 0.45), (0.4, 1.0, 1.8)):
        errors, true, rises, relative = drawn(place, 200)
        told[place] = coverage(errors, true, 0.0), coverage(rises, relative, SMALLEST_RISE)
        shown = " ".join(f"{100 * covered:.1f} % of {100 * held:.0f} %" for covered, held in told[place])
        sys.stdout.write(f"{place}: mCE, relative mCE: {shown}\n")
        sys.stdout.flush()
    # Binomial error of one share: 1.6 points.
    assert min(mce for (mce, _), _ in told.values()) >= 0.83
    assert min(mce for place, ((mce, _), _) in told.items() if place[0] == 150) >= 0.90
    assert np.median([mce for (mce, _), _ in told.values()]) >= 0.94
    clear = [share for _, (share, defined) in told.values() if defined >= 0.9]
    assert min(clear) >= 0.75
