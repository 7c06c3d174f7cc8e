"""The worst case over attacks: an image counts as right only if no attack of a radius breaks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.estimate import Estimate
from clearsight.data.sequential import repeated_interval
from clearsight.data.statistics import wilson
from clearsight.pipelines.runs.columns import Columns, RunColumns, Triple
from clearsight.pipelines.runs.summary import Comparison, WorstCase
from clearsight.pipelines.systems.threats import is_attack

Radius = tuple[str, float]


@dataclass(frozen=True)
class Union:
    """Attacks of one radius on one system under one condition.

    Attributes:
        system: the system.
        condition: the condition.
        radius: norm and eps.
        attacks: names, in the order of the config.
        clean: name of the cell without an attack, where it was measured.
    """

    system: str
    condition: str
    radius: Radius
    attacks: tuple[str, ...]
    clean: str | None

    @property
    def place(self) -> tuple[str, ...]:
        """Return what names its comparison with the baseline."""
        return ("worst", self.system, self.condition, *map(str, self.radius))


def unions(measured: RunColumns) -> list[Union]:
    """Return every union of at least two attacks, in the order of the config."""
    attacks = measured.grid.attacks
    found: dict[tuple[str, str, Radius], list[str]] = {}
    clean: dict[tuple[str, str], str] = {}
    for system, condition, name in measured.grid.triples:
        spec = attacks[name]
        if spec is None or not is_attack(spec):
            clean[system, condition] = name
        elif spec.radius is not None:
            found.setdefault((system, condition, spec.radius), []).append(name)
    return [
        Union(system, condition, radius, tuple(names), clean.get((system, condition)))
        for (system, condition, radius), names in found.items()
        if len(names) > 1
    ]


def survivors(
    columns: Mapping[Triple, Columns], union: Union, *, system: str, column: str = "correct"
) -> NDArray[np.float64] | None:
    """Return (n,) 1 where an image is right under every one of the attacks, and without any if measured.

    None where one of the cells, or a value of the column, is missing.
    """
    names = (*union.attacks, *([union.clean] if union.clean else []))
    found = [columns.get((system, union.condition, name), {}).get(column) for name in names]
    if any(values is None or np.isnan(values).any() for values in found):
        return None
    return np.min(np.stack([values for values in found if values is not None]), axis=0)  # type: ignore[no-any-return]


def worst_cases(
    measured: RunColumns,
    unreliable: Collection[Triple],
    versus: Mapping[tuple[str, ...], Comparison],
) -> list[WorstCase]:
    """Return the figures ``worst`` of the summary.

    Args:
        measured: the rows.
        unreliable: attacked cells that a truth check condemned.
        versus: comparisons with the baseline, by `Union.place`.
    """
    found = (_figure(measured, union, unreliable, versus.get(union.place)) for union in unions(measured))
    return [figure for figure in found if figure]


def _figure(
    measured: RunColumns, union: Union, unreliable: Collection[Triple], versus: Comparison | None
) -> WorstCase | None:
    right = survivors(measured.columns, union, system=union.system)
    if right is None:
        return None
    votes = survivors(measured.columns, union, system=union.system, column="majority")
    norm, eps = union.radius
    condemned = [a for a in union.attacks if (union.system, union.condition, a) in unreliable]
    return WorstCase(
        system=union.system,
        condition=union.condition,
        norm=norm,
        eps=eps,
        attacks=list(union.attacks),
        n=len(right),
        clean=union.clean is not None,
        accuracy=proportion(right, measured.looks),
        majority=None if votes is None else proportion(votes, measured.looks),
        versus=versus,
        reliable=not condemned,
        unreliable=condemned,
    )


def proportion(right: NDArray[np.float64] | Sequence[float], looks: int = 1) -> Estimate:
    """Return the share of ones with its Wilson interval, as the metrics give it.

    Args:
        right: (n,) zeros and ones.
        looks: number of looks at which the run may have stopped; above 1 the interval is that of
            `clearsight.data.sequential`.
    """
    values = np.asarray(right)
    count, n = int(values.sum()), len(values)
    if looks > 1:
        ends = repeated_interval(count, n, looks)
        return Estimate(count / n, *ends, f"clopper-pearson, {looks} looks").rounded()
    low, high = wilson(count, n)
    return Estimate(count / n, low, high, "wilson").rounded()
