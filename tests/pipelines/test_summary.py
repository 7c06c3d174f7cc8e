"""The summary of a run: paired comparisons in one family a system, means, corruption errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from clearsight.data.benchmark.sets import ALEXNET_ERRORS, SETS
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import mcnemar_exact
from clearsight.pipelines.analysis.corruption_error import corruption_errors
from clearsight.pipelines.analysis.paired import versus
from clearsight.pipelines.analysis.scenarios import clean_condition
from clearsight.pipelines.analysis.summary import Summary
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.metrics.accuracy import Accuracy
from clearsight.pipelines.metrics.ece import ECE
from clearsight.pipelines.metrics.psnr import PSNR
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.grid import Cell, Grid
from clearsight.pipelines.runs.summary import Comparison, Difference

Rows = Mapping[tuple[str, str], Sequence[float] | NDArray[np.float64]]
FIVE = (1, 2, 3, 4, 5)


def condition(kind: str, severity: int) -> Condition:
    told: dict[str, object] = {"kind": kind}
    if kind != "identity":
        told |= {"severity": severity, "table": "imagenet_c"}
    name = "clean" if kind == "identity" else f"{kind}-{severity}"
    return Condition(name=name, group="g", corruption=CORRUPTIONS.parse(told))


def make(
    rows: Rows, conditions: Sequence[Condition], *, baseline: str | None = "plain", classes: int = 3
) -> RunColumns:
    """A run of systems x conditions from the ``correct`` column of each."""
    systems = tuple(dict.fromkeys(system for system, _ in rows))
    grid = Grid(
        graphs=dict.fromkeys(systems),
        conditions={c.name: c for c in conditions},
        groups={"g": tuple(c.name for c in conditions if c.corruption.severity)},
        attacks={"none": None},
        triples=tuple((s, c, "none") for s, c in rows),
    )
    columns = {(s, c, "none"): {"correct": np.asarray(right, float)} for (s, c), right in rows.items()}
    return RunColumns(grid, columns, baseline, 0, classes)


def cells(measured: RunColumns) -> list[Cell]:
    return [Cell(f"{i:064d}", *triple) for i, triple in enumerate(measured.grid.triples)]


def test_comparisons_are_paired_and_corrected() -> None:
    n = 200
    base, better, same = np.zeros(n), np.zeros(n), np.zeros(n)
    base[:100], better[:130], same[1:101] = 1, 1, 1
    conditions = [condition("identity", 0), condition("fog", 3)]
    measured = make(
        {
            ("plain", "clean"): base,
            ("restored", "clean"): same,
            ("plain", "fog-3"): base,
            ("restored", "fog-3"): better,
            ("worse", "fog-3"): np.roll(base, -40) * base,
        },
        conditions,
    )
    figures = Summary(measured, cells(measured), [Accuracy()]).figures()
    gaps = {(c.system, c.condition): c.versus for c in figures.cells if isinstance(c.versus, Comparison)}
    assert ("plain", "clean") not in gaps
    assert gaps["restored", "fog-3"].difference == pytest.approx(0.15)
    assert (gaps["restored", "fog-3"].gained, gaps["restored", "fog-3"].lost) == (30, 0)
    assert gaps["restored", "fog-3"].verdict == "helps"
    assert gaps["restored", "clean"].verdict == "unclear"
    assert gaps["worse", "fog-3"].verdict == "hurts"
    assert gaps["restored", "fog-3"].p == pytest.approx(mcnemar_exact(30, 0))
    assert gaps["restored", "fog-3"].low > 0
    assert figures.comparison.comparisons == 3


def made_up(systems: Sequence[str], seed: int = 5) -> RunColumns:
    """Return a run of equally good systems under 30 conditions in groups, with means over severities."""
    generator = Rng(seed).at("null").numpy()
    conditions = [condition(kind, s) for kind in SETS["imagenet_c_15"] for s in (1, 3)]
    hard = {c.name: generator.random(150) for c in conditions}
    # Drawn by system, so that one more system changes nothing of the others.
    rows = {
        (system, c.name): (0.7 * hard[c.name] + 0.3 * Rng(seed).at(system, c.name).numpy().random(150) < 0.7)
        for system in systems
        for c in conditions
    }
    return make({place: right.astype(float) for place, right in rows.items()}, conditions)


def every_verdict(measured: RunColumns) -> dict[tuple[str, ...], Difference | None]:
    figures = Summary(measured, cells(measured), [Accuracy()]).figures()
    found: dict[tuple[str, ...], Difference | None] = {
        (c.system, c.condition): c.versus for c in figures.cells
    }
    found |= {(g.system, "mean", g.group): g.versus for g in (*figures.aggregates, *figures.kinds)}
    return found


def test_a_verdict_is_what_its_interval_says_everywhere() -> None:
    generator = Rng(2).at("mixed").numpy()
    conditions = [condition(kind, s) for kind in SETS["imagenet_c_15"] for s in (1, 3)]
    rows: dict[tuple[str, str], NDArray[np.float64]] = {}
    for i, c in enumerate(conditions):
        rows["plain", c.name] = base = (generator.random(150) < 0.7).astype(float)
        changed = generator.random(150) < 0.02 * i
        rows["mine", c.name] = np.where(changed, float(i % 2), base)
    verdicts = [v for v in every_verdict(make(rows, conditions)).values() if v]
    assert len(verdicts) == 30 + 15 + 1
    assert {v.verdict for v in verdicts} == {"helps", "hurts", "unclear"}
    for v in verdicts:
        assert (v.low > 0, v.high < 0) == (v.verdict == "helps", v.verdict == "hurts")
        assert v.p_adjusted is not None
        assert (v.p_adjusted < 0.05) == (v.verdict != "unclear")


def test_a_verdict_does_not_depend_on_unrelated_systems() -> None:
    alone, among = (
        every_verdict(made_up(["plain", "mine"])),
        every_verdict(made_up(["plain", "x", "mine", "y"])),
    )
    assert {place: v for place, v in among.items() if place[0] == "mine"} == {
        place: v for place, v in alone.items() if place[0] == "mine"
    }


@pytest.mark.slow
def test_means_over_severities_and_groups_are_in_the_family() -> None:
    alarms = 0
    for seed in range(12):
        measured = made_up(["plain", "mine"], seed)
        kinds: dict[str, list[str]] = {}
        for name in measured.grid.conditions:
            kinds.setdefault(name.rsplit("-", 1)[0], []).append(name)
        found = versus(measured, measured.grid.groups, kinds)
        assert (len(found.single), len(found.means)) == (30, 16)
        verdicts = [v.verdict for v in (*found.single.values(), *found.means.values())]
        alarms += set(verdicts) != {"unclear"}
    assert alarms <= 3, "separate intervals of 95 % would give one in nine of ten runs"


def test_many_comparisons_of_equal_systems_seldom_find_anything() -> None:
    found = every_verdict(made_up(["plain", "other", "third"]))
    assert all(v.verdict == "unclear" for v in found.values() if v)


def test_a_mean_over_conditions_counts_images() -> None:
    # Every image has one fate under all conditions: 15 conditions then say no more than one.
    fate = (Rng(1).at("fate").numpy().random(100) < 0.5).astype(float)
    conditions = [condition(kind, 3) for kind in SETS["imagenet_c_15"]]
    measured = make({("plain", c.name): fate for c in conditions}, conditions)
    figures = Summary(measured, cells(measured), [Accuracy()]).figures()
    group, cell = figures.aggregates[0].metrics["accuracy"], figures.cells[0].metrics["accuracy"]
    assert group.value == cell.value == pytest.approx(fate.mean())
    assert group.high - group.low == pytest.approx(cell.high - cell.low, rel=0.1)


def test_mce_by_alexnet_is_the_published_formula() -> None:
    generator = Rng(2).at("mce").numpy()
    conditions = [
        condition("identity", 0),
        *(condition(kind, s) for kind in SETS["imagenet_c_15"] for s in FIVE),
    ]
    rows = {("plain", c.name): (generator.random(80) < 0.4).astype(float) for c in conditions}
    measured = make(rows, conditions, classes=1000)
    names = [c.name for c in conditions[1:]]
    found = corruption_errors(measured, "plain", names, "none")
    by_hand = np.mean(
        [
            sum(1 - rows["plain", f"{kind}-{s}"].mean() for s in FIVE) / (5 * ALEXNET_ERRORS[kind])
            for kind in SETS["imagenet_c_15"]
        ]
    )
    assert found.mce.value == pytest.approx(by_hand)
    assert "AlexNet" in found.mce.source
    assert found.mce.low < by_hand < found.mce.high
    fewer = corruption_errors(measured, "plain", names[:-1], "none")
    assert "AlexNet" not in fewer.mce.source, "not the whole benchmark"


def test_relative_mce_against_the_named_baseline() -> None:
    conditions = [condition("identity", 0), condition("fog", 1), condition("snow", 1)]
    rows: Rows = {
        ("plain", "clean"): [1, 1, 1, 1, 1, 1, 1, 0],
        ("plain", "fog-1"): [1, 1, 1, 1, 0, 0, 0, 0],
        ("plain", "snow-1"): [1, 1, 0, 0, 0, 0, 0, 0],
        ("mine", "clean"): [1, 1, 1, 1, 1, 1, 0, 0],
        ("mine", "fog-1"): [1, 1, 1, 1, 1, 0, 0, 0],
        ("mine", "snow-1"): [1, 1, 1, 1, 0, 0, 0, 0],
    }
    few = corruption_errors(make(rows, conditions), "mine", ["fog-1", "snow-1"], "none")
    assert few == (None, None), "eight images say nothing of a ratio"
    measured = make({place: [*fates] * 16 for place, fates in rows.items()}, conditions)
    found = corruption_errors(measured, "mine", ["fog-1", "snow-1"], "none")
    assert found.mce.low < found.mce.value < found.mce.high
    assert found.relative_mce.low < found.relative_mce.value < found.relative_mce.high
    assert found.mce.value == pytest.approx(((3 / 8) / (4 / 8) + (4 / 8) / (6 / 8)) / 2)
    assert found.relative_mce.value == pytest.approx(((1 / 8) / (3 / 8) + (2 / 8) / (5 / 8)) / 2)
    assert "plain" in found.mce.source
    itself = corruption_errors(measured, "plain", ["fog-1", "snow-1"], "none")
    assert itself.mce.value == itself.relative_mce.value == 1.0


def test_what_is_not_defined_is_none() -> None:
    conditions = [condition("identity", 0), condition("fog", 1)]
    rows: Rows = {(s, c): [np.nan, np.nan] for s in ("plain", "mine") for c in ("clean", "fog-1")}
    measured = make(rows, conditions)
    figures = Summary(measured, cells(measured), [Accuracy(), PSNR()]).figures()
    assert all(c.metrics == {"accuracy": None, "psnr": None} and c.versus is None for c in figures.cells)
    perfect: Rows = {(s, c): [1, 1] for s in ("plain", "mine") for c in ("clean", "fog-1")}
    found = corruption_errors(make(perfect, conditions), "mine", ["fog-1"], "none")
    assert found == (None, None), "a baseline without errors cannot be divided by"


def test_the_ece_interval_holds_the_value_for_a_calibrated_model() -> None:
    generator = Rng(3).at("ece").numpy()
    confidence = generator.uniform(0.4, 1, 2000)
    correct = (generator.random(2000) < confidence).astype(float)
    found = ECE()({"confidence": confidence, "correct": correct}, Rng(0))
    assert found is not None
    assert found.low <= found.value <= found.high
    assert found.low < 0.01
    over = ECE()({"confidence": np.full(2000, 0.99), "correct": correct}, Rng(0))
    assert over is not None
    assert over.value == pytest.approx(abs(0.99 - correct.mean()))
    assert over.low > 0.2


@pytest.mark.parametrize("clean", ["identity", "fog"])
def test_every_type_at_severity_0_is_clean(clean: str) -> None:
    unchanged = condition(clean, 0)
    conditions = [unchanged, condition("fog", 1), condition("fog", 5)]
    rows: Rows = {
        (system, c.name): [1, 1, i < 2, i < 1]
        for system in ("plain", "mine")
        for i, c in enumerate(conditions)
    }
    measured = make(rows, conditions)
    figures = Summary(measured, cells(measured), [Accuracy()]).figures()
    assert clean_condition(measured) == unchanged.name
    assert figures.pairs[0].pairs, "systems are compared on the clean images"
    assert [(k.system, k.group, k.conditions) for k in figures.kinds] == [
        ("plain", "fog", 2),
        ("mine", "fog", 2),
    ]
    assert all(a.relative_mce for a in figures.aggregates)
