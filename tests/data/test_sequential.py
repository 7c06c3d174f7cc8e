"""Intervals that hold at whichever look one stops: coverage by simulation, under the rule that is used."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.paired_family import judge
from clearsight.data.sequential import each_look, exact_interval, planned_looks, repeated_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (7, 7), (3, 10), (97, 100), (1, 1000)])
def test_the_exact_interval_is_that_of_scipy(successes: int, n: int) -> None:
    wanted = binomtest(successes, n).proportion_ci(0.99)
    assert exact_interval(successes, n, 0.99) == pytest.approx((wanted.low, wanted.high))


def test_no_trial_says_nothing_and_impossible_counts_are_refused() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(DataError, match="impossible"):
        exact_interval(3, 2)


def test_looks_are_whole_chunks_and_end_with_all_images() -> None:
    assert planned_looks(300, least=100, step=64) == (128, 192, 300)
    assert planned_looks(50, least=100, step=8) == (50,)
    assert planned_looks(100, least=100, step=10) == (100,)
    looks = planned_looks(10_000, least=100, step=64)
    assert len(looks) == 12
    assert all(look % 64 == 0 for look in looks[:-1])
    assert all(later > earlier for earlier, later in itertools.pairwise(looks))


def missed(share: float, half_width: float, runs: int, *, looks_counted: bool) -> float:
    """Return how often the interval at the stop leaves out the truth; looks that are not counted cost 5 % each."""
    looks = planned_looks(2000, least=20, step=10)
    drawn = Rng(3).at("stop", str(share), str(half_width)).numpy().random((runs, looks[-1])) < share
    right = drawn.cumsum(1)
    count = len(looks) if looks_counted else 1
    wrong = 0
    for row in right:
        for look in looks:
            low, high = repeated_interval(int(row[look - 1]), look, count)
            if (high - low) / 2 <= half_width or look == looks[-1]:
                wrong += not low <= share <= high
                break
    return wrong / runs


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("half_width", [0.04, 0.1])
def test_coverage_under_the_rule_that_stops(share: float, half_width: float) -> None:
    # At most 5 % by proof; 400 runs of 5 % stay below 7.8 % in 99 of 100 cases.
    assert missed(share, half_width, 400, looks_counted=True) <= 0.05


def test_whoever_stops_when_the_truth_is_left_out_fails_too() -> None:
    """The worst rule there is: look until the interval is wrong."""
    looks = planned_looks(2000, least=20, step=10)
    right = (Rng(4).at("worst").numpy().random((600, looks[-1])) < 0.7).cumsum(1)

    def ever(count: int) -> float:
        ends = [[repeated_interval(int(row[look - 1]), look, count) for look in looks] for row in right]
        return float(np.mean([any(not low <= 0.7 <= high for low, high in row) for row in ends]))

    assert ever(len(looks)) <= 0.05
    # An interval for one look does not hold under this rule, so the case above is no triviality.
    assert ever(1) > 0.12


@pytest.mark.slow
def test_differences_hold_at_every_look() -> None:
    """Two equal systems, looked at again and again: rarely does even one interval leave out 0."""
    looks, wrong = (40, 60, 90, 135, 200), 0
    for run in range(120):
        generator = Rng(run).at("pairs").numpy()
        d = (generator.random(200) < 0.8).astype(float) - (generator.random(200) < 0.8)
        judged = [
            judge([d[:n]], Rng(run).at("signs"), confidence=each_look(0.95, len(looks)))[0] for n in looks
        ]
        wrong += any(each.low > 0 or each.high < 0 for each in judged)
    assert wrong / 120 <= 0.08


def test_a_family_may_hold_differences_of_fewer_images() -> None:
    d = np.array([1.0, 0.0, 1.0, -1.0, 1.0, 1.0, 0.0, 1.0])
    with pytest.raises(DataError, match="no pairs"):
        judge([d, d[:4]], Rng(0))
    whole, part = judge([d, d[:4]], Rng(0), prefixes=True)
    assert (whole.difference, part.difference) == (0.5, 0.25)
    assert part.low < whole.low
