from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearsight.data.statistics import wilson
from clearsight.defend.attacks.base import Attack
from clearsight.defend.attacks.fgsm import FGSM
from clearsight.defend.attacks.none import NoAttack
from clearsight.defend.attacks.pgd import PGD
from clearsight.pipelines.analysis.paired import versus
from clearsight.pipelines.analysis.worst_case import survivors, unions, worst_cases
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.folder import read_json
from clearsight.pipelines.runs.grid import Grid
from clearsight.pipelines.runs.summary import WorstCase, parse_summary

ATTACKS: dict[str, Attack] = {
    "none": NoAttack(),
    "fgsm": FGSM(eps=0.1),
    "pgd": PGD(eps=0.1),
    "far": PGD(eps=0.2),
    "round": PGD(eps=0.1, norm="l2"),
}


def make(
    rows: Mapping[tuple[str, str], Sequence[float] | np.ndarray], baseline: str | None = None
) -> RunColumns:
    triples = tuple((system, "clean", attack) for system, attack in rows)
    grid = Grid({}, {}, {}, ATTACKS, triples)
    columns = {(s, "clean", a): {"correct": np.asarray(right, float)} for (s, a), right in rows.items()}
    return RunColumns(grid, columns, baseline, 0, 3)


def test_an_image_is_right_only_under_every_attack_of_the_radius() -> None:
    measured = make(
        {
            ("plain", "none"): [1, 1, 1, 1, 0],
            ("plain", "fgsm"): [1, 1, 0, 1, 1],
            ("plain", "pgd"): [1, 0, 1, 1, 1],
            ("plain", "far"): [0, 0, 0, 0, 0],
            ("plain", "round"): [0, 0, 0, 0, 0],
        }
    )
    (found,) = worst_cases(measured, set(), {})
    assert found.accuracy.value == pytest.approx(2 / 5), "wrong without an attack counts too"
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(wilson(2, 5))
    assert found.attacks == ["fgsm", "pgd"], "other radii and norms stay out"
    assert (found.norm, found.eps, found.n, found.clean) == ("linf", 0.1, 5, True)
    assert found.versus is None
    assert found.majority is None
    assert found.reliable


def test_one_attack_alone_has_no_worst_case() -> None:
    assert worst_cases(make({("plain", "none"): [1], ("plain", "pgd"): [0]}), set(), {}) == []


def test_an_unreliable_attack_makes_the_worst_case_unreliable() -> None:
    measured = make({("plain", "fgsm"): [1, 0], ("plain", "pgd"): [1, 1]})
    (found,) = worst_cases(measured, {("plain", "clean", "pgd")}, {})
    assert not found.reliable
    assert found.unreliable == ["pgd"]
    assert not found.clean


def compared(measured: RunColumns) -> list[WorstCase]:
    return worst_cases(measured, set(), versus(measured, {}, {}).single)


def test_comparison_is_paired_and_corrected() -> None:
    n = 60
    one, two = np.ones(n), np.ones(n)
    one[:40] = 0
    two[30:50] = 0
    rows = {("plain", "fgsm"): one, ("plain", "pgd"): np.ones(n)}
    rows |= {("mine", "fgsm"): np.ones(n), ("mine", "pgd"): two}
    rows |= {("same", "fgsm"): one, ("same", "pgd"): np.ones(n)}
    found = {f.system: f for f in compared(make(rows, "plain"))}
    assert found["plain"].versus is None
    gap = found["mine"].versus
    assert gap.difference == pytest.approx(20 / 60)
    assert (gap.gained, gap.lost) == (30, 10)
    assert gap.low < 20 / 60 < gap.high
    assert gap.p < gap.p_adjusted < 0.05, "the cells of the system are in the same family"
    assert gap.verdict == "helps"
    assert found["same"].versus.verdict == "unclear"


def test_other_attacks_on_the_baseline_cannot_be_compared() -> None:
    rows = {("plain", "fgsm"): [1, 0], ("mine", "fgsm"): [1, 1], ("mine", "pgd"): [1, 0]}
    (found,) = compared(make(rows, "plain"))
    assert found.system == "mine"
    assert found.versus is None


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30))
def test_it_is_never_better_than_any_of_them(fates: list[tuple[bool, bool, bool]]) -> None:
    none, fgsm, pgd = np.asarray(fates, float).T
    measured = make({("plain", "none"): none, ("plain", "fgsm"): fgsm, ("plain", "pgd"): pgd})
    (union,) = unions(measured)
    right = survivors(measured.columns, union, system="plain")
    assert right is not None
    assert (right <= np.minimum(np.minimum(none, fgsm), pgd)).all()
    assert right.sum() == sum(all(fate) for fate in fates)


@pytest.mark.slow
def test_a_run_reports_it(make_config: Callable[..., Evaluate], tmp_path: Path) -> None:
    config = make_config(
        attacks={
            "none": {"kind": "none"},
            "fgsm": {"kind": "fgsm", "eps": "8/255"},
            "pgd": {"kind": "pgd", "eps": "8/255", "steps": 5},
        },
        measure=[{"conditions": ["clean"], "attacks": ["none", "fgsm", "pgd"]}],
        conditions={"clean": {"kind": "identity"}},
    )
    summary = parse_summary(read_json(run(config, root=tmp_path, workers=1).summary))
    assert [entry.system for entry in summary.worst] == ["plain", "restored"]
    cells = {(c.system, c.attack): c for c in summary.cells}
    for entry in summary.worst:
        least = min(cells[entry.system, name].metrics["accuracy"].value for name in ("none", "fgsm", "pgd"))
        assert entry.accuracy.value <= least + 1e-12
    assert summary.worst[1].versus is not None
    told = {a.name: a for a in summary.attacks}
    assert (told["pgd"].norm, told["pgd"].threat) == ("linf", "adaptive")
    assert told["none"].threat is None
    assert cells["plain", "none"].attacked is None
    assert cells["plain", "none"].reliable is None
    cost = cells["restored", "pgd"].attacked
    assert cost.through == {"median": "exact", "classify": "exact"}
    assert 1 < cost.queries <= 7
    assert cost.backwards <= 5
    assert 0 < cost.linf <= 8 / 255 + 1e-6
    assert cells["plain", "pgd"].reliable, cells["plain", "pgd"].checks
