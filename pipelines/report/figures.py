"""What a run found: look-ups in ``summary.json``, without arithmetic of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clearsight.data.corruptions.base import is_clean
from clearsight.pipelines.report.reliability import LIMITED, flag_of, judged, worst_of
from clearsight.pipelines.report.words import plain, radius
from clearsight.pipelines.runs.summary import parse_summary

ALL = "all corruptions"
"""The group of every corrupted condition."""

Entry = Mapping[str, Any]
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
        self.run = parse_summary(summary)
        self.summary = summary
        self.systems: list[Mapping[str, Any]] = list(summary["systems"])
        self.names: list[str] = [system["name"] for system in self.systems]
        self.comparison: Mapping[str, Any] = summary.get("comparison") or {}
        named = self.comparison.get("baseline")
        self.baseline: str | None = named if named in self.names else None
        self.conditions = {entry["name"]: entry for entry in summary.get("conditions", [])}
        self.attacks: list[str] = [attack["name"] for attack in summary.get("attacks", [])] or ["none"]
        self.unattacked = {a["name"] for a in summary.get("attacks", []) if a["kind"] == "none"} or {"none"}
        self.adversaries = {attack["name"]: attack for attack in summary.get("attacks", [])}
        self._cells = {(c["system"], c["condition"], c["attack"]): c for c in summary.get("cells", [])}
        self._cells = {place: self._judged(cell) for place, cell in self._cells.items()}
        self.cells: list[Entry] = list(self._cells.values())
        found = {(a["system"], a["group"], a["attack"]): a for a in summary.get("aggregates", [])}
        self._aggregates = {place: self._judged(aggregate) for place, aggregate in found.items()}

    @cached_property
    def clean(self) -> str | None:
        """Return the name of the condition that changes nothing, if the run has one."""
        return next((name for name, c in self.conditions.items() if unchanged(c)), None)

    @cached_property
    def primary(self) -> str | None:
        """Return the metric that the page is about: accuracy, or the first one that has a value."""
        for metric in ["accuracy", *self.summary.get("metrics", [])]:
            if any(value(cell, metric) for cell in self.cells):
                return str(metric)
        return None

    @property
    def others(self) -> list[str]:
        """Return the systems that are compared with the baseline."""
        return [name for name in self.names if name != self.baseline] if self.baseline else []

    @property
    def confidence(self) -> str:
        """Return the confidence of all intervals, such as ``95 %``."""
        return f"{float(self.comparison.get('confidence', 0.95)) * 100:g}\u00a0%"

    def cell(self, system: str, condition: str | None, attack: str) -> Entry | None:
        """Return the cell of a system under a condition and an attack, if it was measured."""
        return self._cells.get((system, condition or "", attack))

    def entry(self, system: str, column: Column) -> Entry | None:
        """Return the figures of a system in a column of the headline table."""
        if column.group == "clean":
            found = self.cell(system, self.clean, column.attack)
            if found:
                return found
        found = self._aggregates.get((system, column.group, column.attack))
        if found is None and (single := self._single(column.group)):
            return self.cell(system, single, column.attack)
        return found

    def _single(self, group: str) -> str | None:
        """Return the one condition of a group; None where it has several, which have a mean of their own."""
        members = self.members(group)
        return str(members[0]["name"]) if len(members) == 1 else None

    @property
    def attacked(self) -> list[str]:
        """Return the names of the attacks that do something."""
        return [name for name in self.attacks if name not in self.unattacked]

    def threat(self, attack: str) -> str:
        """Return the threat model of an attack; nothing where the summary does not say."""
        return str(self.adversaries.get(attack, {}).get("threat") or "")

    def ball(self, attack: str) -> str:
        """Return norm and size of an attack, such as ``L\u221e 8/255``; nothing where it has none."""
        told = self.adversaries.get(attack, {})
        return radius(told.get("norm"), told.get("eps"))

    def informed(self, system: str, attack: str) -> bool:
        """Return whether an attack works on the whole of a system, not on a part or another system."""
        threat = self.threat(attack)
        parts = next((s.get("parts") or [] for s in self.systems if s["name"] == system), [])
        return threat not in LIMITED or (threat == "oblivious" and len(parts) == 1)

    def flag(self, entry: Entry | None) -> str:
        """Return ``unreliable``, ``suspect`` or nothing for a cell, or for the cells of an aggregate."""
        if entry is None or "group" not in entry:
            return flag_of(entry or {})
        members = [
            self._cells.get((entry["system"], condition["name"], entry["attack"]), {})
            for condition in self.members(entry["group"])
        ]
        return worst_of(flag_of(cell) for cell in members)

    def members(self, group: str) -> list[Mapping[str, Any]]:
        """Return the conditions of a group."""
        return [condition for condition in self.conditions.values() if self._in(condition, group)]

    def overrated(self, entry: Entry) -> bool:
        """Return whether the true figure may be lower: condemned, or by an attacker who knew too little."""
        if entry["attack"] in self.unattacked:
            return False
        return self.flag(entry) == "unreliable" or not self.informed(entry["system"], entry["attack"])

    def _judged(self, entry: Entry) -> Entry:
        against = {**entry, "system": self.baseline}
        if "condition" in entry:
            against = dict(
                self._cells.get((self.baseline or "", entry["condition"], entry["attack"]), against)
            )
        return judged(entry, overrated=self.overrated(entry), against=self.overrated(against))

    def _in(self, condition: Mapping[str, Any], group: str) -> bool:
        if group == ALL:
            return not unchanged(condition)
        return group in (condition.get("groups") or [condition["group"]])

    def columns(self) -> list[Column]:
        """Return the columns of the headline table: clean, all corruptions, then each group, by attack."""
        return [column for attack in self.attacks for column in self._columns(attack)]

    def _columns(self, attack: str) -> list[Column]:
        sizes: dict[str, int] = {}
        for (_, group, under), aggregate in self._aggregates.items():
            if under == attack:
                sizes.setdefault(group, int(aggregate["conditions"]))
        if any(self.cell(name, self.clean, attack) for name in self.names):
            sizes["clean"] = 1
        for group in dict.fromkeys(str(condition["group"]) for condition in self.corrupted()):
            single = self._single(group)
            if group not in sizes and single and any(self.cell(name, single, attack) for name in self.names):
                sizes[group] = 1
        places = [str(condition["group"]) for condition in self.conditions.values()]
        groups = [group for group in sizes if group not in ("clean", ALL) and not self._is_clean(group)]
        groups.sort(key=lambda group: places.index(group) if group in places else len(places))
        if len(groups) == 1 and sizes[groups[0]] == sizes.get(ALL):
            groups = []
        order = [group for group in ("clean", ALL) if group in sizes] + groups
        threat = self.threat(attack)
        told = f" ({threat})" if threat not in ("", "adaptive") else ""
        suffix = "" if attack in self.unattacked else f", {attack}{told}"
        return [Column(group, attack, group + suffix, sizes[group]) for group in order]

    def _is_clean(self, group: str) -> bool:
        members = [c for c in self.conditions.values() if c["group"] == group]
        return bool(members) and all(map(unchanged, members))

    def corrupted(self) -> list[Mapping[str, Any]]:
        """Return all conditions but the clean one."""
        return [c for c in self.conditions.values() if not unchanged(c)]

    def rows(self) -> list[Row]:
        """Return the corruptions in the run's order, families together.

        Conditions of one kind and table make one row. Where two of them share a severity (they differ in
        another parameter) each YAML group, or in the end each condition, gets a row of its own.
        """
        sets: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
        for condition in self.corrupted():
            sets[condition["kind"], str(condition.get("table"))].append(condition)
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
        if condition is None or unchanged(condition):
            return plain(name)
        if steps := condition.get("steps"):
            return " then ".join(f"{plain(step['kind'])} {_severity(step):g}" for step in steps)
        same = ("kind", "severity")
        twins = [c for c in self.conditions.values() if all(c[key] == condition[key] for key in same)]
        return (
            plain(name)
            if len(twins) > 1
            else f"{plain(condition['kind'])}, severity {_severity(condition):g}"
        )

    def images(self, name: str) -> str:
        """Return a condition's images as a reader says it: ``images with fog, severity 3``."""
        title = self.title(name)
        return f"{title} images" if name == self.clean else f"images with {title}"

    def severities(self) -> list[float]:
        """Return the severities of the corrupted conditions, ascending."""
        return sorted({_severity(c) for c in self.corrupted()})

    def restores(self, system: str) -> bool:
        """Return whether a system puts out an image (it has a PSNR somewhere)."""
        return any(c["system"] == system and (value(c, "psnr") or value(c, "ssim")) for c in self.cells)


def _split(label: str, members: list[Mapping[str, Any]]) -> list[Row]:
    """Return rows in which no severity occurs twice."""
    if len({_severity(c) for c in members}) == len(members):
        return [_row(label, members)]
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for condition in members:
        groups[condition["group"]].append(condition)
    rows: list[Row] = []
    for group, part in groups.items():
        if len({_severity(c) for c in part}) == len(part):
            rows.append(_row(f"{label}, {group}", part))
        else:
            rows.extend(_row(c["name"], [c]) for c in part)
    return rows


def _row(label: str, members: list[Mapping[str, Any]]) -> Row:
    family = str(members[0].get("family") or "other")
    return Row(label, family, {_severity(c): c["name"] for c in members})


def unchanged(condition: Mapping[str, Any]) -> bool:
    """Return whether a condition of the summary leaves images as they are."""
    return is_clean(_severity(condition))


def _severity(condition: Mapping[str, Any]) -> float:
    return float(condition.get("severity") or 0)


def value(entry: Entry | None, metric: str) -> Mapping[str, Any] | None:
    """Return a metric of an entry with ``value``, ``low`` and ``high``; None where it is not defined."""
    if entry is None:
        return None
    found = (entry.get("metrics") or {}).get(metric) or entry.get(metric)
    return found if isinstance(found, Mapping) and found.get("value") is not None else None


def versus(entry: Entry | None) -> Mapping[str, Any] | None:
    """Return the comparison of an entry with the baseline, if there is one."""
    found = (entry or {}).get("versus")
    return found if isinstance(found, Mapping) and found.get("difference") is not None else None
