"""Accuracy by class: counts, intervals, and how far classes lie apart by chance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.corruptions.identity import Identity
from clearsight.data.statistics import mcnemar_exact, wilson
from clearsight.defend.attacks.base import Attack
from clearsight.defend.attacks.fgsm import FGSM
from clearsight.defend.attacks.none import NoAttack
from clearsight.defend.attacks.pgd import PGD
from clearsight.pipelines.analysis.per_class import MOST_CLASSES, per_class
from clearsight.pipelines.analysis.scenarios import pairs, scenarios
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.grid import Grid
from clearsight.pipelines.runs.summary import ClassFigures, PerClass

ATTACKS: dict[str, Attack] = {"none": NoAttack(), "fgsm": FGSM(eps=0.1), "pgd": PGD(eps=0.1)}


def make(labels: Sequence[float], rows: Mapping[str, Sequence[float]], *, clean: bool = True) -> RunColumns:
    conditions = {"clean": Condition(name="clean", group="clean", corruption=Identity())} if clean else {}
    triples = tuple(("plain", "clean", attack) for attack in rows)
    grid = Grid({}, conditions, {}, ATTACKS, triples)
    columns = {
        ("plain", "clean", a): {"correct": np.asarray(right, float), "label": np.asarray(labels, float)}
        for a, right in rows.items()
    }
    return RunColumns(grid, columns, None, 0, 3)


def entry_of(found: PerClass | None, attack: str | None) -> ClassFigures:
    assert found is not None
    return next(entry for entry in found.entries if entry.attack == attack)


def test_each_class_has_its_share_and_its_wilson_interval() -> None:
    labels = [0, 0, 0, 0, 1, 1, 3, 3]
    found = per_class(make(labels, {"none": [1, 1, 1, 0, 0, 1, 1, 1]}))
    assert found is not None
    assert (found.condition, found.n) == ("clean", [4, 2, 0, 2])
    entry = entry_of(found, "none")
    assert entry.value == [0.75, 0.5, None, 1.0], "a class without images has no accuracy"
    assert (entry.low[0], entry.high[0]) == pytest.approx(wilson(3, 4), abs=5e-5)
    assert entry.low[2] is entry.high[2] is None
    assert (entry.worst, entry.best, entry.spread) == (1, 3, 0.5)
    assert entry.attacks == ["none"]


def test_an_image_counts_in_the_worst_case_only_if_no_attack_broke_it() -> None:
    rows = {"none": [1, 1, 1, 1], "fgsm": [1, 0, 1, 1], "pgd": [0, 1, 1, 1]}
    worst = entry_of(per_class(make([0, 0, 1, 1], rows)), None)
    assert worst.value == [0.0, 1.0]
    assert (worst.norm, worst.eps, worst.attacks) == ("linf", 0.1, ["fgsm", "pgd"])
    assert worst.spread == 1.0


def test_unlabelled_images_stay_out() -> None:
    found = per_class(make([0, np.nan, 1], {"none": [1, np.nan, 0]}))
    assert found is not None
    assert found.n == [1, 1]
    assert entry_of(found, "none").value == [1.0, 0.0]


@pytest.mark.parametrize(
    "measured",
    [
        make([np.nan, np.nan], {"none": [np.nan, np.nan]}),
        make([0, 1], {"none": [np.nan, np.nan]}),
        make([0, 1], {"none": [1, 1]}, clean=False),
        make([0, MOST_CLASSES], {"none": [1, 1]}),
    ],
    ids=["no-labels", "nothing-classified", "no-clean-condition", "too-many-classes"],
)
def test_it_is_left_out_where_it_makes_no_sense(measured: RunColumns) -> None:
    assert per_class(measured) is None


def test_chance_alone_spreads_few_images_far_and_many_hardly() -> None:
    few = entry_of(per_class(make([0, 0, 0, 1, 1, 1], {"none": [1, 0, 1, 0, 1, 0]})), "none")
    assert few.by_chance >= 2 / 3
    labels = np.repeat([0, 1], 1000)
    right = np.tile([1.0, 0.0], 1000)
    many = entry_of(per_class(make(labels.tolist(), {"none": right.tolist()})), "none")
    # The difference of two shares of 1000 has a deviation of sqrt(2 * 0.25 / 1000).
    assert many.by_chance == pytest.approx(1.96 * np.sqrt(2 * 0.25 / 1000), rel=0.1)
    flat = entry_of(per_class(make([0, 1], {"none": [1, 1]})), "none")
    assert (flat.spread, flat.by_chance) == (0.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_the_classes_add_up_to_the_whole(images: list[tuple[int, bool]]) -> None:
    labels, right = zip(*images, strict=True)
    found = per_class(make(labels, {"none": [float(r) for r in right]}))
    entry = entry_of(found, "none")
    assert found is not None
    hits = sum(n * (p or 0.0) for n, p in zip(found.n, entry.value, strict=True))
    assert hits == pytest.approx(sum(right), abs=5e-5 * len(right))
    shares = [p for p in entry.value if p is not None]
    assert entry.spread == pytest.approx(max(shares) - min(shares), abs=2e-4)
    for low, value, high in zip(entry.low, entry.value, entry.high, strict=True):
        assert value is None or low - 1e-4 <= value <= high + 1e-4


def test_a_run_lists_it_for_every_system_and_attack(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(
        attacks={"none": {"kind": "none"}, "fgsm": {"kind": "fgsm", "eps": 0.2}},
        measure=[{"conditions": ["clean"], "attacks": ["none", "fgsm"]}],
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    summary = json.loads((folder / "summary.json").read_text())
    found = summary["per_class"]
    assert found["n"] == [10, 10, 10]
    cells = {(c["system"], c["attack"]): c for c in summary["cells"]}
    assert {(e["system"], e["attack"]) for e in found["entries"]} == set(cells)
    for entry in found["entries"]:
        cell = cells[entry["system"], entry["attack"]]
        assert np.mean(entry["value"]) == pytest.approx(cell["metrics"]["accuracy"]["value"], abs=1e-4)
    assert [entry["attack"] for entry in summary["pairs"]] == ["none", "fgsm"]
    assert [(p["first"], p["second"]) for p in summary["pairs"][1]["pairs"]] == [("plain", "restored")]


def test_every_two_systems_are_paired_on_the_same_images() -> None:
    n = 40
    rows = {("a", "none"): np.ones(n), ("b", "none"): np.ones(n), ("c", "none"): np.ones(n)}
    rows["b", "none"][:10] = 0
    rows["c", "none"][5:10] = 0
    rows |= {("a", "fgsm"): np.ones(n), ("a", "pgd"): np.ones(n), ("b", "fgsm"): np.zeros(n)}
    rows["c", "fgsm"] = np.full(n, np.nan)
    conditions = {"clean": Condition(name="clean", group="clean", corruption=Identity())}
    grid = Grid({}, conditions, {}, ATTACKS, tuple((s, "clean", a) for s, a in rows))
    columns = {(s, "clean", a): {"correct": right} for (s, a), right in rows.items()}
    found = pairs(RunColumns(grid, columns, None, 0, 3))
    assert [(entry.attack, len(entry.pairs)) for entry in found] == [("none", 3), ("fgsm", 1)]
    p = {(pair.first, pair.second): pair.p for pair in found[0].pairs}
    assert p["a", "b"] == pytest.approx(mcnemar_exact(10, 0), rel=1e-3)
    assert p["b", "c"] == pytest.approx(mcnemar_exact(0, 5), rel=1e-3)
    scenario = next(s for s in scenarios(RunColumns(grid, columns, None, 0, 3)) if s.attack is None)
    assert (scenario.attacks, list(scenario.right)) == (("fgsm", "pgd"), ["a"])
