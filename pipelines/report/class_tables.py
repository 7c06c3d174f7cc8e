"""Accuracy by class: heat tables of classes by systems, and the worst class of each system in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.strips import class_name
from clearsight.pipelines.report.tables import Heat
from clearsight.pipelines.report.words import count, listed, number, quantity, radius, span
from clearsight.pipelines.runs.summary import ClassFigures, PerClass

TABLES = 3
"""Heat tables on a page, at most: without an attack, and the first worst cases."""
CLASSES = 24
"""Classes in a table, at most: of more, those with the lowest accuracy."""
NAMED = 3
"""Equally good or bad classes that are named."""
LOWEST = "lowest"


@dataclass(frozen=True)
class ClassTable:
    """Classes by systems under one attack, or in the worst case over several.

    ``rows`` are the name of a class and a cell for each system; the last row of the table is the spread.
    """

    title: str
    note: str
    systems: list[tuple[str, str]]
    rows: list[tuple[str, list[Heat | None]]]
    spread: list[str]
    left_out: int


@dataclass(frozen=True)
class ByClass:
    """The tables, and a sentence a system."""

    tables: list[ClassTable]
    sentences: list[tuple[str, str]]


def by_class(figures: Figures) -> ByClass | None:
    """Return accuracy by class of a run with attacks; None where there are not two scenarios to compare."""
    per_class = figures.run.per_class
    if per_class is None or not figures.attacked:
        return None
    scenarios = _scenarios(figures, per_class.entries)
    if len(scenarios) < 2:
        return None
    tables = [_table(figures, per_class, *scenario) for scenario in scenarios]
    sentences = [(name, words) for name in figures.names if (words := _sentence(figures, name, scenarios))]
    return ByClass(tables, sentences)


_Scenario = tuple[str, list[ClassFigures]]
"""What is shown in one table: its name in a sentence, and the entries of the systems."""


def _scenarios(figures: Figures, entries: Sequence[ClassFigures]) -> list[_Scenario]:
    """Return the entries without an attack, then the worst cases; without those, the strongest attack."""
    natural = [e for e in entries if e.attack in figures.unattacked]
    worst: dict[tuple[str, float], list[ClassFigures]] = {}
    for entry in entries:
        if entry.attack is None:
            worst.setdefault((entry.norm or "", entry.eps or 0.0), []).append(entry)
    scenarios = [("without an attack", natural)] if natural else []
    scenarios += [(f"in the worst case at {radius(*ball)}", found) for ball, found in worst.items()]
    if not worst and (name := _strongest(figures, entries)):
        ball = figures.ball(name)
        place = f"under {name} ({ball})" if ball else f"under {name}"
        scenarios.append((place, [e for e in entries if e.attack == name]))
    return scenarios[:TABLES]


def _strongest(figures: Figures, entries: Sequence[ClassFigures]) -> str:
    """Return the attack that leaves the least to the classes on average, of those that knew most systems."""
    levels = {}
    for name in figures.attacked:
        found = [e for e in entries if e.attack == name]
        known = sum(figures.informed(e.system, name) for e in found)
        shares = [p for e in found for p in e.value if p is not None]
        if shares:
            levels[name] = (-known, sum(shares) / len(shares))
    return min(levels, key=lambda name: levels[name], default="")


def _table(figures: Figures, per_class: PerClass, place: str, entries: Sequence[ClassFigures]) -> ClassTable:
    by_system = {entry.system: entry for entry in entries}
    names = [name for name in figures.names if name in by_system]
    classes = [i for i, n in enumerate(per_class.n) if n]
    level = {i: sum(by_system[name].value[i] or 0.0 for name in names) for i in classes}
    shown = sorted(sorted(classes, key=lambda i: level[i])[:CLASSES])
    rows: list[tuple[str, list[Heat | None]]] = [
        (class_name(figures, i), [_heat(by_system[name], i, per_class.n[i]) for name in names]) for i in shown
    ]
    least, most = min(per_class.n[i] for i in classes), max(per_class.n[i] for i in classes)
    many = count(least, "image") if least == most else f"{least} to {count(most, 'image')}"
    heads = [(name, _flag(figures, by_system[name], per_class.condition)) for name in names]
    spread = [_spread(by_system[name]) for name in names]
    return ClassTable(place, f"{many} a class", heads, rows, spread, len(classes) - len(shown))


def _heat(entry: ClassFigures, index: int, n: int) -> Heat:
    share = entry.value[index] or 0.0
    # Where every class is equal there is no lowest one.
    lowest = entry.value[index] == entry.value[entry.worst] and entry.spread > 0
    interval = span(entry.low[index], entry.high[index], "accuracy")
    hint = f"{quantity(share, 'accuracy')} ({interval}) of {count(n, 'image')}"
    text = quantity(share, "accuracy", unit=False)
    return Heat(text, LOWEST if lowest else "level", "\u25bc" if lowest else "", round(share, 2), hint)


def _spread(entry: ClassFigures) -> str:
    return number(100 * entry.spread)


def _flag(figures: Figures, entry: ClassFigures, condition: str) -> str:
    """Return the flag about an entry: that of its cell, or of the worst case it belongs to."""
    if entry.attack is not None:
        return figures.flag(figures.cell(entry.system, condition, entry.attack))
    for worst in figures.run.worst:
        same = (worst.system, worst.norm, worst.eps) == (entry.system, entry.norm, entry.eps)
        if same and worst.condition == condition:
            return "" if worst.reliable else "unreliable"
    return ""


def _sentence(figures: Figures, name: str, scenarios: Sequence[_Scenario]) -> str:
    """Return the worst class of a system in words, in every scenario."""
    parts = []
    for place, entries in scenarios:
        entry = next((e for e in entries if e.system == name), None)
        if entry is not None:
            parts.append(f"{place} {_words(figures, entry)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _words(figures: Figures, entry: ClassFigures) -> str:
    low, high = (quantity(entry.value[index], "accuracy") for index in (entry.worst, entry.best))
    if not entry.spread:
        return f"every class has {low}"
    clear = entry.spread > entry.by_chance
    apart = f"{number(100 * entry.spread)} points apart"
    chance = "" if clear else ", which equally hard classes would show by chance too"
    worst, best = (_equals(figures, entry, entry.value[index]) for index in (entry.worst, entry.best))
    return f"the lowest {worst} with {low}, the highest {best} with {high}: {apart}{chance}"


def _equals(figures: Figures, entry: ClassFigures, level: float | None) -> str:
    """Return the classes of this accuracy, such as ``is cat`` or ``are bird and deer``."""
    names = [class_name(figures, i) for i, value in enumerate(entry.value) if value == level]
    told = listed(names) if len(names) <= NAMED else count(len(names), "class", "classes")
    return f"{'is' if len(names) == 1 else 'are'} {told}"
