"""What happens to the clean images: nothing, one attack, or the worst case over several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.statistics import mcnemar_exact, significant
from clearsight.pipelines.analysis.worst_case import survivors, unions
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.summary import Pair, PairedScenario

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """The clean images under one attack (``none`` included), or under all attacks of one radius.

    Attributes:
        attack: its name; None for the worst case over several.
        norm: of the radius of a worst case, else None.
        eps: of the radius of a worst case, else None.
        attacks: names of all that count.
        right: system -> (n,) 1 where an image is right, nan where that is not known.
    """

    attack: str | None
    norm: str | None
    eps: float | None
    attacks: tuple[str, ...]
    right: Mapping[str, Numbers]


def clean_condition(measured: RunColumns) -> str | None:
    """Return the name of the condition that changes nothing, if there is one."""
    return next((n for n, c in measured.grid.conditions.items() if c.corruption.clean), None)


def scenarios(measured: RunColumns) -> list[Scenario]:
    """Return the scenarios on clean images: attacks in the order of the config, then worst cases.

    Systems that were under different sets of attacks of a radius stand in different scenarios.
    """
    clean = clean_condition(measured)
    single: dict[str, dict[str, Numbers]] = {}
    for system, condition, attack in measured.grid.triples:
        if condition == clean:
            right = measured.columns[system, condition, attack]["correct"]
            single.setdefault(attack, {})[system] = right
    joint: dict[tuple[str, float, tuple[str, ...]], dict[str, Numbers]] = {}
    for union in unions(measured):
        left = survivors(measured.columns, union, system=union.system)
        if union.condition == clean and left is not None:
            joint.setdefault((*union.radius, union.attacks), {})[union.system] = left
    order = [name for name in measured.grid.attacks if name in single]
    found = [Scenario(name, None, None, (name,), single[name]) for name in order]
    return found + [Scenario(None, *place, right) for place, right in joint.items()]


def pairs(measured: RunColumns) -> list[PairedScenario]:
    """Return ``pairs`` of the summary: every two systems on the same clean images, scenario by scenario.

    ``p`` is that of the exact McNemar test, corrected for the looks of ``stop``, not for the number of pairs.
    """
    return [
        PairedScenario(scenario.attack, scenario.norm, scenario.eps, list(scenario.attacks), compared)
        for scenario in scenarios(measured)
        if (compared := _pairs(scenario, measured.looks))
    ]


def _pairs(scenario: Scenario, looks: int) -> list[Pair]:
    known = {name: right for name, right in scenario.right.items() if not np.isnan(right).any()}
    names = list(known)
    compared = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            one, two = known[first], known[second]
            gained, lost = int(((one == 1) & (two == 0)).sum()), int(((one == 0) & (two == 1)).sum())
            p = min(1.0, looks * mcnemar_exact(gained, lost))
            compared.append(Pair(first, second, significant(p, 4)))
    return compared
