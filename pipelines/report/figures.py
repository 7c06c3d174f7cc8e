"""What a run found: look-ups in ``summary.json``, without arithmetic of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.reliability import LIMITED, flag_of, judged, worst_of
from clearsight.pipelines.report.words import plain, radius
from clearsight.pipelines.runs.facts import AttackFacts, ConditionFacts, SystemFacts
from clearsight.pipelines.runs.summary import CellFigures, Difference, GroupFigures, WorstCase, parse_summary

ALL = "all corruptions"
"""The group of every corrupted condition."""
DETECTION = "ap50"
"""What detectors are compared by."""

Entry = CellFigures | GroupFigures
"""A cell or an aggregate of the summary."""


@dataclass(frozen=True)
class Column:
    """One column of the headline table: a group of conditions under an attack."""

    group: str
    attack: str
    label: str
    conditions: int


@dataclass(frozen=True)
class Row:
    """One corruption, with its conditions by severity."""

    label: str
    family: str
    conditions: Mapping[float, str]


class Figures:
    """A summary, with the questions that the report asks of it.

    Args:
        summary: the contents of ``summary.json`` (schema 1).

    Raises:
        RunError: it has another schema, or lacks what a summary must have.
    """

    def __init__(self, summary: Mapping[str, Any]) -> None:
        """Index cells and aggregates."""
        self.run = run = parse_summary(summary)
        self.systems: list[SystemFacts] = run.systems
        self.names = [system.name for system in run.systems]
        self.baseline = run.comparison.baseline if run.comparison.baseline in self.names else None
        self.conditions = {condition.name: condition for condition in run.conditions}
        self.attacks = [attack.name for attack in run.attacks] or ["none"]
        self.unattacked = {attack.name for attack in run.attacks if attack.kind == "none"} or {"none"}
        self._adversaries = {attack.name: attack for attack in run.attacks}
        self._cells = {(cell.system, cell.condition, cell.attack): cell for cell in run.cells}
        self._cells = {place: self._judged_cell(cell) for place, cell in self._cells.items()}
        self.cells = list(self._cells.values())
        self._aggregates = {
            (group.system, group.group, group.attack): self._judged_group(group) for group in run.aggregates
        }

    @cached_property
    def clean(self) -> str | None:
        """Return the name of the condition that changes nothing, if the run has one."""
        return next((name for name, condition in self.conditions.items() if condition.clean), None)

    @cached_property
    def primary(self) -> str | None:
        """Return the metric that the page is about: accuracy, or the first one that has a value."""
        for metric in ["accuracy", *self.run.metrics]:
            if any(value(cell, metric) for cell in self.cells):
                return metric
        return None

    @property
    def others(self) -> list[str]:
        """Return the systems that are compared with the baseline."""
        return [name for name in self.names if name != self.baseline] if self.baseline else []

    @property
    def confidence(self) -> str:
        """Return the confidence of all intervals, such as ``95 %``."""
        return f"{self.run.comparison.confidence * 100:g}\u00a0%"

    def cell(self, system: str, condition: str | None, attack: str) -> CellFigures | None:
        """Return the cell of a system under a condition and an attack, if it was measured."""
        return self._cells.get((system, condition or "", attack))

    def entry(self, system: str, column: Column) -> Entry | None:
        """Return the figures of a system in a column of the headline table."""
        unchanged = self.clean if column.group == "clean" else column.group
        if unchanged in self._twins(clean=True) and (cell := self.cell(system, unchanged, column.attack)):
            return cell
        if group := self._aggregates.get((system, column.group, column.attack)):
            return group
        single = self._single(column.group)
        return self.cell(system, single, column.attack) if single else None

    def _twins(self, *, clean: bool = False) -> list[str]:
        """Return the conditions that change nothing: all if ``clean``, else all but the first."""
        names = [condition.name for condition in self.conditions.values() if condition.clean]
        return names if clean else names[1:]

    def _single(self, group: str) -> str | None:
        """Return the one corrupted condition of a group; None where several have a mean of their own."""
        members = [condition for condition in self.members(group) if not condition.clean]
        return members[0].name if len(members) == 1 else None

    @property
    def attacked(self) -> list[str]:
        """Return the names of the attacks that do something."""
        return [name for name in self.attacks if name not in self.unattacked]

    def adversary(self, attack: str) -> AttackFacts:
        """Return what the summary says of an attack; without any facts where it does not list it."""
        return self._adversaries.get(attack, AttackFacts(attack, ""))

    def threat(self, attack: str) -> str:
        """Return the threat model of an attack; nothing where the summary does not say."""
        return self.adversary(attack).threat or ""

    def ball(self, attack: str) -> str:
        """Return norm and size of an attack, such as ``L\u221e 8/255``; nothing where it has none."""
        adversary = self.adversary(attack)
        return radius(adversary.norm, adversary.eps)

    def informed(self, system: str, attack: str) -> bool:
        """Return whether an attack works on the whole of a system, not on a part or another system."""
        threat = self.threat(attack)
        parts = next((facts.parts for facts in self.systems if facts.name == system), [])
        return threat not in LIMITED or (threat == "oblivious" and len(parts) == 1)

    def flag(self, entry: Entry | None) -> str:
        """Return ``unreliable``, ``suspect`` or nothing for a cell, or for the cells of an aggregate."""
        if entry is None:
            return ""
        if isinstance(entry, CellFigures):
            return flag_of(entry)
        members = (self.cell(entry.system, c.name, entry.attack) for c in self.members(entry.group))
        return worst_of(flag_of(cell) for cell in members if cell)

    def members(self, group: str) -> list[ConditionFacts]:
        """Return the conditions of a group."""
        return [condition for condition in self.conditions.values() if self._in(condition, group)]

    def overrated(self, entry: Entry) -> bool:
        """Return whether the true figure may be lower: condemned, or by an attacker who knew too little."""
        if entry.attack in self.unattacked:
            return False
        return self.flag(entry) == "unreliable" or not self.informed(entry.system, entry.attack)

    def _judged_cell(self, cell: CellFigures) -> CellFigures:
        baseline = self.baseline or ""
        against = self.cell(baseline, cell.condition, cell.attack) or replace(cell, system=baseline)
        return judged(cell, overrated=self.overrated(cell), against=self.overrated(against))

    def _judged_group(self, group: GroupFigures) -> GroupFigures:
        against = replace(group, system=self.baseline or "")
        return judged(group, overrated=self.overrated(group), against=self.overrated(against))

    def _in(self, condition: ConditionFacts, group: str) -> bool:
        return not condition.clean if group == ALL else group in groups_of(condition)

    def columns(self) -> list[Column]:
        """Return the columns of the headline table: clean, all corruptions, then each group, by attack."""
        return [column for attack in self.attacks for column in self._columns(attack)]

    def _columns(self, attack: str) -> list[Column]:
        sizes: dict[str, int] = {}
        for (_, group, under), aggregate in self._aggregates.items():
            if under == attack:
                sizes.setdefault(group, aggregate.conditions)
        if any(self.cell(name, self.clean, attack) for name in self.names):
            sizes["clean"] = 1
        twins = [n for n in self._twins() if any(self.cell(name, n, attack) for name in self.names)]
        for group in dict.fromkeys(condition.group for condition in self.corrupted()):
            single = self._single(group)
            if group not in sizes and single and any(self.cell(name, single, attack) for name in self.names):
                sizes[group] = 1
        places = [condition.group for condition in self.conditions.values()]
        groups = [group for group in sizes if group not in ("clean", ALL) and not self._is_clean(group)]
        groups.sort(key=lambda group: places.index(group) if group in places else len(places))
        if len(groups) == 1 and sizes[groups[0]] == sizes.get(ALL):
            groups = []
        sizes |= dict.fromkeys(twins, 1)
        order = [name for name in ("clean", *twins, ALL) if name in sizes] + groups
        threat = self.threat(attack)
        knowledge = f" ({threat})" if threat not in ("", "adaptive") else ""
        suffix = "" if attack in self.unattacked else f", {attack}{knowledge}"
        return [Column(group, attack, group + suffix, sizes[group]) for group in order]

    def _is_clean(self, group: str) -> bool:
        members = [condition for condition in self.conditions.values() if condition.group == group]
        return bool(members) and all(condition.clean for condition in members)

    def corrupted(self) -> list[ConditionFacts]:
        """Return all conditions but the clean one."""
        return [condition for condition in self.conditions.values() if not condition.clean]

    def rows(self) -> list[Row]:
        """Return the corruptions in the run's order, families together.

        Conditions of one kind and table make one row. Where two of them share a severity (they differ in
        another parameter) each YAML group, or in the end each condition, gets a row of its own.
        """
        sets: dict[tuple[str, str], list[ConditionFacts]] = defaultdict(list)
        for condition in self.corrupted():
            sets[condition.kind, str(condition.table)].append(condition)
        tables = {table for _, table in sets}
        rows: list[Row] = []
        for (kind, table), members in sets.items():
            label = f"{kind} ({table})" if len(tables) > 1 else kind
            rows.extend(_split(label, members))
        families = list(dict.fromkeys(row.family for row in rows))
        return sorted(rows, key=lambda row: families.index(row.family))

    def title(self, name: str) -> str:
        """Return a condition as a reader says it, such as ``gaussian noise, severity 3``."""
        condition = self.conditions.get(name)
        if condition is None or condition.clean:
            return plain(name)
        if condition.steps:
            return " then ".join(f"{plain(step.kind)} {step.severity}" for step in condition.steps)
        kind, severity = condition.kind, condition.severity
        twins = [c for c in self.conditions.values() if (c.kind, c.severity) == (kind, severity)]
        return plain(name) if len(twins) > 1 else f"{plain(kind)}, severity {severity}"

    def images(self, name: str) -> str:
        """Return a condition's images as a reader says it: ``images with fog, severity 3``."""
        title = self.title(name)
        return f"{title} images" if name == self.clean else f"images with {title}"

    def severities(self) -> list[float]:
        """Return the severities of the corrupted conditions, ascending."""
        return sorted({float(condition.severity) for condition in self.corrupted()})

    def restores(self, system: str) -> bool:
        """Return whether a system outputs an image (it has a PSNR or SSIM somewhere)."""
        return any(c.system == system and (value(c, "psnr") or value(c, "ssim")) for c in self.cells)


def _split(label: str, members: list[ConditionFacts]) -> list[Row]:
    """Return rows in which no severity occurs twice."""
    if len({condition.severity for condition in members}) == len(members):
        return [_row(label, members)]
    groups: dict[str, list[ConditionFacts]] = defaultdict(list)
    for condition in members:
        groups[condition.group].append(condition)
    rows: list[Row] = []
    for group, part in groups.items():
        if len({condition.severity for condition in part}) == len(part):
            rows.append(_row(f"{label}, {group}", part))
        else:
            rows.extend(_row(condition.name, [condition]) for condition in part)
    return rows


def _row(label: str, members: list[ConditionFacts]) -> Row:
    family = members[0].family or "other"
    return Row(label, family, {float(condition.severity): condition.name for condition in members})


def groups_of(condition: ConditionFacts) -> list[str]:
    """Return the groups that a condition belongs to."""
    return condition.groups or [condition.group]


def value(entry: Entry | None, metric: str) -> Estimate | None:
    """Return a metric of an entry; None where it is not defined."""
    if entry is None:
        return None
    if isinstance(entry, GroupFigures) and metric in ("mce", "relative_mce"):
        return entry.mce if metric == "mce" else entry.relative_mce
    return entry.metrics.get(metric)


def judged_by(entry: Entry | None) -> Estimate | None:
    """Return the figure that systems are compared by: the accuracy, or of detectors the average precision."""
    return value(entry, "accuracy") or value(entry, DETECTION)


def versus(entry: CellFigures | GroupFigures | WorstCase | None) -> Difference | None:
    """Return the comparison of an entry with the baseline, if there is one."""
    return entry.versus if entry else None
