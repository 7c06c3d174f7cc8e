"""All aggregation: per-sample rows to figures with intervals, paired comparisons and corruption errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.pipelines.analysis.corruption_error import corruption_errors
from clearsight.pipelines.analysis.detections import Detections
from clearsight.pipelines.analysis.paired import Versus, versus
from clearsight.pipelines.analysis.per_class import per_class
from clearsight.pipelines.analysis.scenarios import pairs
from clearsight.pipelines.analysis.worst_case import proportion, worst_cases
from clearsight.pipelines.checks.attack_facts import attack_record_of, cost
from clearsight.pipelines.checks.attack_record import AttackRecord, Facts
from clearsight.pipelines.checks.single import checks_of, reliable
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.runs.columns import CONFIDENCE, Columns, RunColumns, Triple, aligned
from clearsight.pipelines.runs.detected import DetectedClass
from clearsight.pipelines.runs.facts import ComparisonMethod
from clearsight.pipelines.runs.summary import (
    CellFigures,
    Check,
    GroupFigures,
    PairedScenario,
    PerClass,
    WorstCase,
)
from clearsight.pipelines.utility.detection import BOXES

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
    detected: list[DetectedClass]


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
        compared = versus(self.measured, self._groups, self._kinds)
        boxes = self._detections.versus({"group": self._groups, "kind": self._kinds})
        compared = Versus(compared.single, {**compared.means, **boxes})
        comparison = self._comparison(compared, resampled=bool(boxes))
        condemned = {triple for triple, said in checks.items() if not reliable(said)}
        return RunFigures(
            cells=[self._cell(cell, records, checks, compared) for cell in self.cells],
            worst=worst_cases(self.measured, condemned, compared.single),
            per_class=per_class(self.measured),
            pairs=pairs(self.measured),
            aggregates=self._over("group", self._groups, compared),
            kinds=self._over("kind", self._kinds, compared),
            comparison=comparison,
            detected=self._detections.by_class(),
        )

    def _comparison(self, compared: Versus, *, resampled: bool) -> ComparisonMethod:
        test, interval = "random signs of each image's differences", "score intervals"
        if resampled:
            test, interval = "resamples of the images", "bootstrap intervals"
        return ComparisonMethod(
            baseline=self.baseline,
            confidence=CONFIDENCE,
            test=test,
            correction="the largest statistic of a system's comparisons (max-T)",
            comparisons=len(compared),
            interval=f"{interval} that hold for all comparisons of a system at once{self._at_looks}",
        )

    @cached_property
    def _detections(self) -> Detections:
        return Detections(self.measured)

    def _cell(
        self,
        cell: Cell,
        records: Mapping[Triple, AttackRecord],
        checks: Mapping[Triple, Sequence[Check]],
        compared: Versus,
    ) -> CellFigures:
        triple = (cell.system, cell.condition, cell.attack)
        columns = self.measured.columns[triple]
        rng = Rng(self.measured.seed).at("summary", *triple)
        estimates = {
            metric.figure: self._estimate(metric, columns, rng.at(metric.figure)) for metric in self.metrics
        }
        attacked, place = triple in records, ("cell", *triple)
        return CellFigures(
            key=cell.key,
            system=cell.system,
            condition=cell.condition,
            attack=cell.attack,
            n=len(columns["correct"]),
            metrics={name: estimate.rounded() if estimate else None for name, estimate in estimates.items()},
            versus=compared.single.get(place) or compared.means.get(place),
            attacked=cost(records[triple]) if attacked else None,
            checks=[check.rounded() for check in checks[triple]] if attacked else [],
            reliable=reliable(checks[triple]) if attacked else None,
        )

    def _estimate(self, metric: Metric, columns: Columns, rng: Rng) -> Estimate | None:
        """Return the figure of a cell, with an interval that holds at whichever look the cell ended."""
        found = metric(columns, rng)
        if found is None or self.measured.looks == 1:
            return found
        values = columns[metric.mean_of][~np.isnan(columns[metric.mean_of])] if metric.mean_of else None
        if values is None or float(values.mean()) != found.value:
            return replace(found, method=f"{found.method}, as if the number of images were fixed")
        if metric.columns[0].dtype == "bool":
            return proportion(values, self.measured.looks)
        return metric.mean(values, rng, self.measured.confidence)

    def _checks(self, triple: Triple, records: Mapping[Triple, AttackRecord]) -> list[Check]:
        place, attacks = triple[:2], self.measured.grid.attacks
        others = [record for other, record in records.items() if other[:2] == place and other != triple]
        unattacked = (
            self.measured.columns[*place, name]
            for name in attacks
            if (*place, name) in self.measured.columns and (*place, name) not in self.facts
        )
        return checks_of(records[triple], others, next(unattacked, None))

    @property
    def _at_looks(self) -> str:
        looks = self.measured.looks
        return f", and for each at every one of {looks} looks" if looks > 1 else ""

    @cached_property
    def _groups(self) -> dict[str, Sequence[str]]:
        """Return the conditions of every mean over a group, and over all that corrupt."""
        groups: dict[str, Sequence[str]] = {
            name: found for name, found in self.measured.grid.groups.items() if len(found) > 1
        }
        corrupted = [name for name, c in self.measured.grid.conditions.items() if not c.corruption.clean]
        if len(corrupted) > 1 and set(corrupted) not in [set(found) for found in groups.values()]:
            groups[ALL] = corrupted
        return groups

    @cached_property
    def _kinds(self) -> dict[str, Sequence[str]]:
        """Return the conditions of each corruption that has several."""
        kinds: dict[str, list[str]] = {}
        for name, condition in self.measured.grid.conditions.items():
            if not condition.corruption.clean:
                kinds.setdefault(condition.corruption.called, []).append(name)
        return {kind: names for kind, names in kinds.items() if len(names) > 1}

    def _over(self, word: str, groups: Mapping[str, Sequence[str]], compared: Versus) -> list[GroupFigures]:
        out: list[GroupFigures] = []
        for group, names in groups.items():
            for attack in self.measured.grid.attacks:
                for system in self.measured.grid.graphs:
                    metrics = self._means(system, group, names, attack)
                    if not metrics:
                        continue
                    errors = corruption_errors(self.measured, system, names, attack)
                    out.append(
                        GroupFigures(
                            system=system,
                            group=group,
                            attack=attack,
                            conditions=len(names),
                            metrics=metrics,
                            versus=compared.means.get((word, system, group, attack)),
                            mce=errors.mce,
                            relative_mce=errors.relative_mce,
                        )
                    )
        return out

    def _means(
        self, system: str, group: str, names: Sequence[str], attack: str
    ) -> dict[str, Estimate | None]:
        """Return the metrics that are means, over conditions: images are resampled, not their versions."""
        rng = Rng(self.measured.seed).at("summary", "group", system, group, attack)
        cells = [self.measured.columns.get((system, name, attack), {}) for name in names]
        metrics: dict[str, Estimate | None] = {}
        for metric in self.metrics:
            values = [metric.over_images(columns) for columns in cells]
            present = [value for value in values if value is not None]
            if present and len(present) == len(values):
                means = np.stack(aligned(present)).mean(0)
                stream = rng.at(metric.mean_of or metric.figure)
                metrics[metric.figure] = metric.mean(means, stream, self.measured.confidence).rounded()
        if average := self._detections.estimate(system, names, attack):
            metrics[BOXES.primary] = average.rounded()
        return metrics
