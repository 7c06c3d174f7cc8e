"""Intervals and tests against scipy, brute force and simulated coverage."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clearsight.data import statistics
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import (
    bootstrap_mean,
    clustered_wilson,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    wilson,
)


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
@pytest.mark.slow
def test_wilson_is_scipys(n: int, share: float, confidence: float) -> None:
    successes = round(share * n)
    wanted = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == 1.0
    for successes, n in ((3, 2), (-1, 2), (1, 0)):
        with pytest.raises(DataError):
            wilson(successes, n)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_wilson_covers(share: float) -> None:
    n = 100
    mass = stats.binom.pmf(range(n + 1), n, share)
    ends = [wilson(k, n) for k in range(n + 1)]
    covered = sum(p for p, (low, high) in zip(mass, ends, strict=True) if low <= share <= high)
    assert covered == pytest.approx(0.95, abs=0.03)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int) -> None:
    wanted = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar_exact(gained, lost) == mcnemar_exact(lost, gained)


def test_mcnemar_of_large_counts() -> None:
    assert mcnemar_exact(6000, 5000) == pytest.approx(stats.binomtest(5000, 11000).pvalue, rel=1e-6)
    assert mcnemar_exact(0, 1000) == 2.0**-999
    with pytest.raises(DataError):
        mcnemar_exact(-1, 3)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(ps: list[float]) -> None:
    adjusted = holm(ps)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
            if min(1.0, (len(ps) - rank) * ps[index]) > level:
                break
            rejected.add(index)
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == ()
    with pytest.raises(DataError):
        holm([0.5, math.nan])


@pytest.mark.slow
def test_bootstrap_covers_the_mean_of_a_skewed_sample() -> None:
    rounds, n = 400, 200
    samples = Rng(1).at("coverage").numpy().exponential(1.0, (rounds, n))
    ends = [bootstrap_mean(row, Rng(1).at(i), resamples=500) for i, row in enumerate(samples)]
    covered = np.mean([low <= 1.0 <= high for low, high in ends])
    assert 0.90 <= covered <= 0.98


def test_bootstrap_of_hits_is_as_wide_as_wilson() -> None:
    hits = np.arange(1000) < 700
    assert bootstrap_mean(hits, Rng(0)) == pytest.approx(wilson(700, 1000), abs=0.004)


def test_bootstrap_by_counts_and_by_indices_agree() -> None:
    # 1,000 values of four kinds are resampled by counts; a hair of difference makes them all distinct.
    values = np.repeat([0.0, 1.0, 2.0, 5.0], 250)
    distinct = values + 1e-9 * np.arange(1000)
    by_counts, by_indices = (bootstrap_mean(v, Rng(3), resamples=20000) for v in (values, distinct))
    assert by_counts == pytest.approx(by_indices, abs=0.01)


def test_bootstrap_does_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = Rng(0).numpy().normal(size=77)
    whole = bootstrap_mean(values, Rng(5))
    monkeypatch.setattr(statistics, "BLOCK", 1000)
    assert bootstrap_mean(values, Rng(5)) == whole


@pytest.mark.usefixtures("no_global_rng")
def test_bootstrap_depends_on_its_stream_only() -> None:
    values = np.linspace(0, 1, 50)
    assert bootstrap_mean(values, Rng(1)) == bootstrap_mean(values, Rng(1))
    assert bootstrap_mean(values, Rng(1)) != bootstrap_mean(values, Rng(2))
    assert bootstrap_mean([0.25], Rng(1)) == (0.25, 0.25)


def test_bootstrap_enumerated() -> None:
    values, spread = [0.0, 1.0, 4.0], float(np.std([0.0, 1.0, 4.0]))
    picks = [np.array(pick) for pick in itertools.product(values, repeat=3)]
    t = [(pick.mean() - 5 / 3) / max(pick.std(), statistics.LEAST_SPREAD * spread) for pick in picks]
    low, high = bootstrap_mean(values, Rng(0), confidence=0.8, resamples=20000)
    assert low == pytest.approx(5 / 3 - np.quantile(t, 0.9) * spread, abs=1e-9)
    assert high == pytest.approx(5 / 3 - np.quantile(t, 0.1) * spread, abs=1e-9)


def test_pairs_are_resampled_together() -> None:
    common = Rng(0).numpy().normal(0, 10, 400)
    low, high = paired_bootstrap(common + 0.5, common + 0.4, Rng(0))
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    with pytest.raises(DataError, match="not pairs"):
        paired_bootstrap([1.0, 2.0], [1.0], Rng(0))


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan], [math.inf]])
def test_bootstrap_refuses(values: list[float]) -> None:
    with pytest.raises(DataError):
        bootstrap_mean(values, Rng(0))


def test_equal_clusters_are_wilsons_trials() -> None:
    fates = np.repeat([1.0, 0.0], [70, 30])
    assert clustered_wilson(fates) == pytest.approx(wilson(70, 100), abs=1e-12)
    assert clustered_wilson(np.ones(150)) == wilson(150, 150), "no error does not tell of clusters"
    low, high = clustered_wilson(np.full(100, 0.7))
    assert low < 0.7 < high
    assert high - low < 0.04, "shares that agree in every cluster say more than one trial a cluster"
    for bad in ([1.5], [-0.1, 0.0], []):
        with pytest.raises(DataError):
            clustered_wilson(bad)


def clustered_coverage(runs: int, n: int, conditions: int, share: float, tied: float) -> float:
    generator = Rng(3).at("clusters", str(n), str(conditions), str(share), str(tied)).numpy()
    covered = 0
    for _ in range(runs):
        image, own = generator.standard_normal((n, 1)), generator.standard_normal((n, conditions))
        right = tied**0.5 * image + (1 - tied) ** 0.5 * own < stats.norm.ppf(share)
        low, high = clustered_wilson(right.mean(1))
        covered += low <= share <= high
    return covered / runs


def test_a_mean_near_the_edge_covers() -> None:
    # The percentile bootstrap covers 70 to 90 % here, and has no width in a third of the samples.
    assert clustered_coverage(150, 150, 3, 0.995, 0.6) >= 0.92


@pytest.mark.slow
@pytest.mark.long
def test_means_over_conditions_cover_over_a_grid() -> None:
    runs = 400
    covered = {
        place: clustered_coverage(runs, *place)
        for place in itertools.product(
            (20, 50, 150, 500), (3, 15, 75), (0.5, 0.9, 0.99, 0.995), (0.2, 0.6, 0.9)
        )
    }
    told = sorted(covered.values())
    sys.stdout.write(
        f"means over conditions cover {told[0]:.3f} to {told[-1]:.3f}, mean {np.mean(told):.3f}\n"
    )
    # Binomial error of one share: 1.1 points.
    assert min(covered.values()) >= 0.92, {place: share for place, share in covered.items() if share < 0.93}


@pytest.mark.slow
@pytest.mark.long
def test_the_mean_of_losses_covers_what_its_docs_say() -> None:
    covered = {}
    for easy, spread, n in itertools.product((1.0, 5.0), (2.5,), (50, 150, 500)):
        generator = Rng(4).at("losses", str(easy), str(n)).numpy()
        true = float(np.log1p(np.exp(-(easy + spread * generator.standard_normal(4_000_000)))).mean())
        held = 0
        for run in range(300):
            losses = np.log1p(np.exp(-(easy + spread * generator.standard_normal(n))))
            low, high = bootstrap_mean(losses, Rng(run), resamples=500)
            held += low <= true <= high
        covered[easy, n] = held / 300
    assert min(covered.values()) >= 0.86, covered
    assert min(share for (_, n), share in covered.items() if n >= 150) >= 0.91, covered
