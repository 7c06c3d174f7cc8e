"""All aggregation: per-sample rows to figures with intervals, paired comparisons and corruption errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import kind_of
from clearsight.data.statistics import bootstrap_mean, holm, mcnemar_exact, paired_bootstrap, significant
from clearsight.pipelines.analysis.corruption_error import corruption_errors
from clearsight.pipelines.analysis.per_class import per_class
from clearsight.pipelines.analysis.scenarios import pairs
from clearsight.pipelines.analysis.worst_case import worst_cases
from clearsight.pipelines.checks.attack_facts import attack_record_of, cost
from clearsight.pipelines.checks.attack_record import AttackRecord, Check, Facts
from clearsight.pipelines.checks.single import checks_of, reliable
from clearsight.pipelines.metrics.base import Estimate, Metric
from clearsight.pipelines.runs.columns import RunColumns, Triple

if TYPE_CHECKING:
    from clearsight.pipelines.runs.grid import Cell

ALL = "all corruptions"


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

    def figures(self) -> dict[str, Any]:
        """Return ``cells``, ``worst``, ``per_class``, ``pairs``, ``aggregates``, ``kinds`` and the rest."""
        attack_record = {
            triple: attack_record_of(self.measured, triple, facts) for triple, facts in self.facts.items()
        }
        checks = {triple: self._checks(triple, attack_record) for triple in attack_record}
        cells = [self._cell(cell) | _truth(cell, attack_record, checks) for cell in self.cells]
        tested = [cell["versus"] for cell in cells if cell["versus"]]
        for versus, adjusted in zip(tested, holm([v["p"] for v in tested]), strict=True):
            versus["p_adjusted"] = significant(adjusted)
            versus["verdict"] = _verdict(versus["difference"], significant=adjusted < 0.05)
        comparison = {
            "baseline": self.baseline,
            "confidence": 0.95,
            "test": "exact McNemar",
            "correction": "Holm",
            "comparisons": len(tested),
            "interval": "paired bootstrap over images",
        }
        return {
            "cells": cells,
            "worst": worst_cases(self.measured, {t for t, found in checks.items() if not reliable(found)}),
            "per_class": per_class(self.measured),
            "pairs": pairs(self.measured),
            "aggregates": self._aggregates(),
            "kinds": self._kinds(),
            "comparison": comparison,
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        triple = (cell.system, cell.condition, cell.attack)
        columns = self.measured.columns[triple]
        rng = Rng(self.measured.seed).at("summary", *triple)
        found = {kind_of(metric): metric(columns, rng.at(kind_of(metric))) for metric in self.metrics}
        return {
            "key": cell.key,
            "system": cell.system,
            "condition": cell.condition,
            "attack": cell.attack,
            "n": len(columns["correct"]),
            "metrics": {name: estimate.to_json() if estimate else None for name, estimate in found.items()},
            "versus": self._versus(triple, rng.at("versus")),
        }

    def _checks(self, triple: Triple, attack_record: Mapping[Triple, AttackRecord]) -> list[Check]:
        place, attacks = triple[:2], self.measured.grid.attacks
        others = [found for other, found in attack_record.items() if other[:2] == place and other != triple]
        unattacked = (
            self.measured.columns[*place, name]
            for name in attacks
            if (*place, name) in self.measured.columns and (*place, name) not in self.facts
        )
        return checks_of(attack_record[triple], others, next(unattacked, None))

    def _versus(self, triple: Triple, rng: Rng) -> dict[str, Any] | None:
        system, condition, attack = triple
        other = self.measured.columns.get((self.baseline or "", condition, attack))
        if other is None or system == self.baseline:
            return None
        mine, theirs = self.measured.columns[triple]["correct"], other["correct"]
        if np.isnan(mine).any() or np.isnan(theirs).any():
            return None
        gained, lost = int(((mine == 1) & (theirs == 0)).sum()), int(((mine == 0) & (theirs == 1)).sum())
        low, high = paired_bootstrap(mine, theirs, rng)
        return {
            "difference": significant((mine - theirs).mean()),
            "low": significant(low),
            "high": significant(high),
            "p": significant(mcnemar_exact(gained, lost)),
            "gained": gained,
            "lost": lost,
        }

    def _aggregates(self) -> list[dict[str, Any]]:
        groups = {name: found for name, found in self.measured.grid.groups.items() if len(found) > 1}
        corrupted = [name for name, c in self.measured.grid.conditions.items() if not c.corruption.clean]
        if len(corrupted) > 1 and set(corrupted) not in [set(found) for found in groups.values()]:
            groups[ALL] = tuple(corrupted)
        return self._over(groups)

    def _kinds(self) -> list[dict[str, Any]]:
        """Return a mean over the severities of each corruption, where it is there at several."""
        kinds: dict[str, list[str]] = {}
        for name, condition in self.measured.grid.conditions.items():
            if not condition.corruption.clean:
                kinds.setdefault(kind_of(condition.corruption), []).append(name)
        return self._over({kind: names for kind, names in kinds.items() if len(names) > 1})

    def _over(self, groups: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for group, conditions in groups.items():
            for attack in self.measured.grid.attacks:
                made = (self._aggregate(s, group, conditions, attack) for s in self.measured.grid.graphs)
                out.extend(found for found in made if found)
        return out

    def _aggregate(self, system: str, group: str, names: Sequence[str], attack: str) -> dict[str, Any] | None:
        rng = Rng(self.measured.seed).at("summary", "group", system, group, attack)
        metrics: dict[str, Any] = {}
        for metric in self.metrics:
            if (
                metric.mean_of
                and (found := self._per_image(system, names, attack, metric.mean_of)) is not None
            ):
                low, high = bootstrap_mean(found, rng.at(metric.mean_of))
                estimate = Estimate(float(found.mean()), low, high, "bootstrap over images")
                metrics[kind_of(metric)] = estimate.to_json()
        if not metrics:
            return None
        mine = self._per_image(system, names, attack, "correct")
        theirs = self._per_image(self.baseline, names, attack, "correct") if self.baseline else None
        versus: dict[str, Any] | None = None
        if mine is not None and theirs is not None and system != self.baseline:
            low, high = paired_bootstrap(mine, theirs, rng.at("versus"))
            difference = float((mine - theirs).mean())
            versus = {
                "difference": significant(difference),
                "low": significant(low),
                "high": significant(high),
            }
            versus["verdict"] = _verdict(difference, significant=low > 0 or high < 0)
        return {
            "system": system,
            "group": group,
            "attack": attack,
            "conditions": len(names),
            "metrics": metrics,
            "versus": versus,
            **corruption_errors(self.measured, system, names, attack),
        }

    def _per_image(
        self, system: str | None, names: Sequence[str], attack: str, column: str
    ) -> NDArray[np.float64] | None:
        """Return the mean over conditions for each image; None where one of the values is missing."""
        found = [self.measured.columns.get((system or "", name, attack)) for name in names]
        if any(columns is None for columns in found):
            return None
        stack = np.stack([columns[column] for columns in found if columns is not None])
        return None if np.isnan(stack).any() else stack.mean(0)


def _truth(
    cell: Cell, attack_record: Mapping[Triple, AttackRecord], checks: Mapping[Triple, Sequence[Check]]
) -> dict[str, Any]:
    """Return what the summary says of a cell's attack: its cost, and whether its figure can be trusted."""
    triple = (cell.system, cell.condition, cell.attack)
    if triple not in attack_record:
        return {"attacked": None, "checks": [], "reliable": None}
    found = checks[triple]
    return {
        "attacked": cost(attack_record[triple]),
        "checks": [check.to_json() for check in found],
        "reliable": reliable(found),
    }


def _verdict(difference: float, *, significant: bool) -> str:
    if not significant or difference == 0:
        return "unclear"
    return "helps" if difference > 0 else "hurts"
