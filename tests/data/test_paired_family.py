"""Families of paired differences: agreement of interval and p, false alarms and coverage by simulation."""

from __future__ import annotations

import itertools
import sys
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.paired_family import judge, score_interval
from clearsight.data.statistics import mcnemar_exact

Floats = NDArray[np.float64]


def right(
    generator: np.random.Generator, n: int, conditions: int, share: float, tied: float
) -> tuple[Floats, Floats]:
    """Draw the right answers (conditions, n) of two equally good systems on the same images.

    ``tied`` is how much of an image's difficulty all conditions have in common.
    """
    image, condition = generator.standard_normal((1, n)), generator.standard_normal((conditions, n))
    edge = NormalDist().inv_cdf(share)

    def system() -> Floats:
        own = generator.standard_normal((conditions, n))
        hard = tied**0.5 * image + (1 - tied) ** 0.5 * (0.7**0.5 * condition + 0.3**0.5 * own)
        return (hard < edge).astype(float)

    return system(), system()


def family(first: Floats, second: Floats) -> list[Floats]:
    """Return the differences of every condition, of means over severities (threes), and of all."""
    cells = first - second
    kinds = cells.reshape(-1, 3, cells.shape[1]).mean(1)
    return [*cells, *kinds, cells.mean(0)]


def alarms(runs: int, n: int, conditions: int, share: float, tied: float) -> int:
    """Count the runs of equal systems with at least one interval that leaves out 0."""
    found = 0
    for run in range(runs):
        rng = Rng(run).at("alarms", str(n), str(conditions), str(share), str(tied))
        judged = judge(family(*right(rng.numpy(), n, conditions, share, tied)), rng.at("signs"))
        found += any(each.low > 0 or each.high < 0 for each in judged)
    return found


def test_false_alarms_of_a_whole_family() -> None:
    # 60 runs of 17 comparisons; separate intervals of 95 % give at least one false alarm in half of them.
    assert alarms(60, 120, 12, 0.8, 0.4) <= 8


@pytest.mark.slow
@pytest.mark.long
def test_false_alarms_over_a_grid() -> None:
    runs = 200
    shares = {
        place: alarms(runs, *place) / runs
        for place in itertools.product((40, 300), (3, 45), (0.5, 0.95), (0.1, 0.8))
    }
    most, mean = max(shares.values()), np.mean(list(shares.values()))
    sys.stdout.write(f"false arrows: most {most:.3f}, mean {mean:.3f}\n")
    # Binomial error of one share: 1.5 points; of the mean over the 16 cases 0.4.
    assert max(shares.values()) <= 0.10, shares
    assert np.mean(list(shares.values())) <= 0.06, shares


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6), st.floats(0, 1))
def test_interval_and_p_agree(seed: int, n: int, members: int, changed: float) -> None:
    generator = Rng(seed).at("agree").numpy()
    steps = generator.integers(-2, 4, (members, n)).clip(-3, 3) / 3
    differences = list(steps * (generator.random((members, n)) < changed))
    for each in judge(differences, Rng(seed).at("signs")):
        assert each.low <= each.difference <= each.high
        assert (each.low > 0 or each.high < 0) == (each.p < 0.05)
        assert -1 <= each.low <= each.high <= 1


def test_one_comparison_alone_is_mcnemars_test() -> None:
    for gained, lost in ((9, 1), (20, 5), (6, 6), (4, 0), (12, 3)):
        d = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 30)
        (found,) = judge([d], Rng(1).at("one"))
        assert found.p == pytest.approx(mcnemar_exact(gained, lost), abs=0.025)


def test_other_families_change_nothing_and_hopeless_comparisons_cost_nothing() -> None:
    d = np.array([1.0] * 16 + [-1.0] * 3 + [0.0] * 100)
    nothing = np.zeros(119)
    (alone,) = judge([d], Rng(0).at("signs"))
    among, *rest = judge([d, *[nothing] * 50], Rng(0).at("signs"))
    assert among == alone
    assert all(each.p == 1.0 and each.low < 0 < each.high for each in rest)


def test_where_nothing_changed_the_interval_is_no_point() -> None:
    low, high = score_interval(np.zeros(150))
    assert -low == high == pytest.approx(1.96**2 / (150 + 1.96**2), rel=1e-3), "as Tango's"


def test_single_binary_differences_are_tangos_interval() -> None:
    d = np.array([1.0] * 5 + [-1.0] + [0.0] * 294)
    low, high = score_interval(d)
    wanted = _tango(5, 1, 300)
    assert (low, high) == pytest.approx(wanted, abs=1e-3), "the limit for rare changes"


def _tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    def statistic(x: float) -> float:
        b, c = -gained - lost + (2 * n - gained + lost) * x, -lost * x * (1 - x)
        losses = ((b * b - 8 * n * c) ** 0.5 - b) / (4 * n)
        return (gained - lost - n * x) / (n * (2 * losses + x * (1 - x))) ** 0.5

    grid = np.linspace(-0.2, 0.2, 40001)[1:]
    kept = [x for x in grid if abs(statistic(float(x))) <= 1.959964]
    return float(min(kept)), float(max(kept))


@pytest.mark.slow
@pytest.mark.long
def test_the_interval_covers_over_a_grid() -> None:
    low_cases = {}
    for n, conditions, share, tied in itertools.product((50, 150), (1, 3, 15), (0.5, 0.9, 0.995), (0.2, 0.8)):
        generator = Rng(7).at("covers", str(n), str(conditions), str(share), str(tied)).numpy()
        runs, covered = 300, 0
        for _ in range(runs):
            first, second = right(generator, n, conditions, share, tied)
            low, high = score_interval((first - second).mean(0))
            covered += low <= 0 <= high
        low_cases[n, conditions, share, tied] = covered / runs
    least, mean = min(low_cases.values()), np.mean(list(low_cases.values()))
    sys.stdout.write(f"differences cover {least:.3f} at least, mean {mean:.3f}\n")
    assert min(low_cases.values()) >= 0.91, low_cases
    assert np.mean(list(low_cases.values())) >= 0.945


def test_what_is_no_family_is_refused() -> None:
    assert judge([], Rng(0)) == []
    with pytest.raises(DataError, match="no pairs"):
        judge([np.zeros(3), np.zeros(4)], Rng(0))
    for bad in (2.0, np.nan):
        with pytest.raises(DataError, match="not in"):
            judge([np.full(3, bad)], Rng(0))
