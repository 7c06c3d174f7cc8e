"""All aggregation: per-sample rows to figures with intervals, paired comparisons and corruption errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import kind_of
from clearsight.data.statistics import bootstrap_mean, paired_bootstrap, significant
from clearsight.pipelines.analysis.corruption_error import corruption_errors
from clearsight.pipelines.analysis.paired import compare, corrected, verdict_of
from clearsight.pipelines.analysis.per_class import per_class
from clearsight.pipelines.analysis.scenarios import pairs
from clearsight.pipelines.analysis.worst_case import worst_cases
from clearsight.pipelines.checks.attack_facts import attack_record_of, cost
from clearsight.pipelines.checks.attack_record import AttackRecord, Facts
from clearsight.pipelines.checks.single import checks_of, reliable
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.runs.columns import RunColumns, Triple
from clearsight.pipelines.runs.facts import ComparisonMethod
from clearsight.pipelines.runs.summary import (
    CellFigures,
    Check,
    Comparison,
    Difference,
    GroupFigures,
    PairedScenario,
    PerClass,
    WorstCase,
)

if TYPE_CHECKING:
    from clearsight.pipelines.runs.grid import Cell

ALL = "all corruptions"


@dataclass(frozen=True)
class RunFigures:
    """The part of ``summary.json`` that is computed from the rows."""

    cells: list[CellFigures]
    worst: list[WorstCase]
    per_class: PerClass | None
    pairs: list[PairedScenario]
    aggregates: list[GroupFigures]
    kinds: list[GroupFigures]
    comparison: ComparisonMethod


@dataclass(frozen=True)
class Summary:
    """Turns measured rows into the figures of ``summary.json``.

    Attributes:
        measured: the rows, and what they are of.
        cells: the cells, in order.
        metrics: what is reported for each.
        facts: what the attacks noted beside the rows; a cell without them has no attack.
    """

    measured: RunColumns
    cells: Sequence[Cell]
    metrics: Sequence[Metric]
    facts: Mapping[Triple, Facts] = field(default_factory=dict)

    @property
    def baseline(self) -> str | None:
        """Return the system that the others are compared with."""
        return self.measured.baseline

    def figures(self) -> RunFigures:
        """Return everything that is computed from the rows."""
        records = {
            triple: attack_record_of(self.measured, triple, facts) for triple, facts in self.facts.items()
        }
        checks = {triple: self._checks(triple, records) for triple in records}
        cells = corrected([self._cell(cell, records, checks) for cell in self.cells])
        comparison = ComparisonMethod(
            baseline=self.baseline,
            confidence=0.95,
            test="exact McNemar",
            correction="Holm",
            comparisons=sum(cell.versus is not None for cell in cells),
            interval="paired bootstrap over images",
        )
        condemned = {triple for triple, said in checks.items() if not reliable(said)}
        return RunFigures(
            cells=cells,
            worst=worst_cases(self.measured, condemned),
            per_class=per_class(self.measured),
            pairs=pairs(self.measured),
            aggregates=self._aggregates(),
            kinds=self._kinds(),
            comparison=comparison,
        )

    def _cell(
        self, cell: Cell, records: Mapping[Triple, AttackRecord], checks: Mapping[Triple, Sequence[Check]]
    ) -> CellFigures:
        triple = (cell.system, cell.condition, cell.attack)
        columns = self.measured.columns[triple]
        rng = Rng(self.measured.seed).at("summary", *triple)
        estimates = {kind_of(metric): metric(columns, rng.at(kind_of(metric))) for metric in self.metrics}
        attacked = triple in records
        return CellFigures(
            key=cell.key,
            system=cell.system,
            condition=cell.condition,
            attack=cell.attack,
            n=len(columns["correct"]),
            metrics={name: estimate.rounded() if estimate else None for name, estimate in estimates.items()},
            versus=self._versus(triple, rng.at("versus")),
            attacked=cost(records[triple]) if attacked else None,
            checks=[check.rounded() for check in checks[triple]] if attacked else [],
            reliable=reliable(checks[triple]) if attacked else None,
        )

    def _checks(self, triple: Triple, records: Mapping[Triple, AttackRecord]) -> list[Check]:
        place, attacks = triple[:2], self.measured.grid.attacks
        others = [record for other, record in records.items() if other[:2] == place and other != triple]
        unattacked = (
            self.measured.columns[*place, name]
            for name in attacks
            if (*place, name) in self.measured.columns and (*place, name) not in self.facts
        )
        return checks_of(records[triple], others, next(unattacked, None))

    def _versus(self, triple: Triple, rng: Rng) -> Comparison | None:
        system, condition, attack = triple
        other = self.measured.columns.get((self.baseline or "", condition, attack))
        if other is None or system == self.baseline:
            return None
        mine, theirs = self.measured.columns[triple]["correct"], other["correct"]
        return None if np.isnan(mine).any() or np.isnan(theirs).any() else compare(mine, theirs, rng)

    def _aggregates(self) -> list[GroupFigures]:
        groups = {name: found for name, found in self.measured.grid.groups.items() if len(found) > 1}
        corrupted = [name for name, c in self.measured.grid.conditions.items() if not c.corruption.clean]
        if len(corrupted) > 1 and set(corrupted) not in [set(found) for found in groups.values()]:
            groups[ALL] = tuple(corrupted)
        return self._over(groups)

    def _kinds(self) -> list[GroupFigures]:
        """Return a mean over the severities of each corruption, where it is there at several."""
        kinds: dict[str, list[str]] = {}
        for name, condition in self.measured.grid.conditions.items():
            if not condition.corruption.clean:
                kinds.setdefault(kind_of(condition.corruption), []).append(name)
        return self._over({kind: names for kind, names in kinds.items() if len(names) > 1})

    def _over(self, groups: Mapping[str, Sequence[str]]) -> list[GroupFigures]:
        out: list[GroupFigures] = []
        for group, conditions in groups.items():
            for attack in self.measured.grid.attacks:
                made = (self._aggregate(s, group, conditions, attack) for s in self.measured.grid.graphs)
                out.extend(found for found in made if found)
        return out

    def _aggregate(self, system: str, group: str, names: Sequence[str], attack: str) -> GroupFigures | None:
        rng = Rng(self.measured.seed).at("summary", "group", system, group, attack)
        metrics: dict[str, Estimate | None] = {}
        for metric in self.metrics:
            if (
                metric.mean_of
                and (means := self._per_image(system, names, attack, metric.mean_of)) is not None
            ):
                low, high = bootstrap_mean(means, rng.at(metric.mean_of))
                estimate = Estimate(float(means.mean()), low, high, "bootstrap over images")
                metrics[kind_of(metric)] = estimate.rounded()
        if not metrics:
            return None
        errors = corruption_errors(self.measured, system, names, attack)
        return GroupFigures(
            system=system,
            group=group,
            attack=attack,
            conditions=len(names),
            metrics=metrics,
            versus=self._group_versus(system, names, attack, rng.at("versus")),
            mce=errors.mce,
            relative_mce=errors.relative_mce,
        )

    def _group_versus(self, system: str, names: Sequence[str], attack: str, rng: Rng) -> Difference | None:
        if self.baseline is None or system == self.baseline:
            return None
        mine = self._per_image(system, names, attack, "correct")
        theirs = self._per_image(self.baseline, names, attack, "correct")
        if mine is None or theirs is None:
            return None
        low, high = paired_bootstrap(mine, theirs, rng)
        difference = float((mine - theirs).mean())
        verdict = verdict_of(difference, clear=low > 0 or high < 0)
        return Difference(significant(difference), significant(low), significant(high), verdict)

    def _per_image(
        self, system: str | None, names: Sequence[str], attack: str, column: str
    ) -> NDArray[np.float64] | None:
        """Return the mean over conditions for each image; None where one of the values is missing."""
        found = [self.measured.columns.get((system or "", name, attack)) for name in names]
        if any(columns is None for columns in found):
            return None
        stack = np.stack([columns[column] for columns in found if columns is not None])
        return None if np.isnan(stack).any() else stack.mean(0)
