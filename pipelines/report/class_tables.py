"""Accuracy by class: heat tables of classes by systems, and the worst class of each system in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.strips import class_name
from clearsight.pipelines.report.tables import Heat
from clearsight.pipelines.report.words import count, listed, number, quantity, radius, span

TABLES = 3
"""Heat tables on a page, at most: without an attack, and the first worst cases."""
CLASSES = 24
"""Classes in a table, at most: of more, those with the lowest accuracy."""
NAMED = 3
"""Equally good or bad classes that are named."""
LOWEST = "lowest"

Told = Mapping[str, Any]


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
    """Return accuracy by class of a run with attacks; None where the summary does not list it."""
    told: Told | None = figures.summary.get("per_class")
    if not told or not figures.attacked:
        return None
    scenarios = _scenes(figures, told["entries"])
    if len(scenarios) < 2:
        return None
    tables = [_table(figures, told, *scenario) for scenario in scenarios]
    sentences = [(name, words) for name in figures.names if (words := _sentence(figures, name, scenarios))]
    return ByClass(tables, sentences)


_Scenario = tuple[str, list[Told]]
"""What is shown in one table: its name in a sentence, and the entries of the systems."""


def _scenes(figures: Figures, entries: Sequence[Told]) -> list[_Scenario]:
    """Return the entries without an attack, then the worst cases; without those, the strongest attack."""
    natural = [e for e in entries if e["attack"] in figures.unattacked]
    worst: dict[tuple[str, float], list[Told]] = {}
    for entry in entries:
        if entry["attack"] is None:
            worst.setdefault((entry["norm"], entry["eps"]), []).append(entry)
    scenarios = [("without an attack", natural)] if natural else []
    scenarios += [(f"in the worst case at {radius(*ball)}", found) for ball, found in worst.items()]
    if not worst and (name := _strongest(figures, entries)):
        ball = figures.ball(name)
        place = f"under {name} ({ball})" if ball else f"under {name}"
        scenarios.append((place, [e for e in entries if e["attack"] == name]))
    return scenarios[:TABLES]


def _strongest(figures: Figures, entries: Sequence[Told]) -> str:
    """Return the attack that leaves the least to the classes on average, of those that knew most systems."""
    levels = {}
    for name in figures.attacked:
        found = [e for e in entries if e["attack"] == name]
        known = sum(figures.informed(e["system"], name) for e in found)
        shares = [p for e in found for p in e["value"] if p is not None]
        if shares:
            levels[name] = (-known, sum(shares) / len(shares))
    return min(levels, key=lambda name: levels[name], default="")


def _table(figures: Figures, told: Told, place: str, entries: Sequence[Told]) -> ClassTable:
    by_system = {entry["system"]: entry for entry in entries}
    names = [name for name in figures.names if name in by_system]
    classes = [i for i, n in enumerate(told["n"]) if n]
    level = {i: sum(by_system[name]["value"][i] for name in names) for i in classes}
    shown = sorted(sorted(classes, key=lambda i: level[i])[:CLASSES])
    rows: list[tuple[str, list[Heat | None]]] = [
        (class_name(figures, i), [_heat(by_system[name], i, int(told["n"][i])) for name in names])
        for i in shown
    ]
    least, most = min(told["n"][i] for i in classes), max(told["n"][i] for i in classes)
    many = count(least, "image") if least == most else f"{least} to {count(most, 'image')}"
    heads = [(name, _flag(figures, by_system[name])) for name in names]
    spread = [_spread(by_system[name]) for name in names]
    return ClassTable(place, f"{many} a class", heads, rows, spread, len(classes) - len(shown))


def _heat(entry: Told, index: int, n: int) -> Heat:
    share = float(entry["value"][index])
    # Where every class is equal there is no lowest one.
    lowest = entry["value"][index] == entry["value"][entry["worst"]] and entry["spread"] > 0
    interval = span(entry["low"][index], entry["high"][index], "accuracy")
    hint = f"{quantity(share, 'accuracy')} ({interval}) of {count(n, 'image')}"
    text = quantity(share, "accuracy", unit=False)
    return Heat(text, LOWEST if lowest else "level", "\u25bc" if lowest else "", round(share, 2), hint)


def _spread(entry: Told) -> str:
    return number(100 * entry["spread"])


def _flag(figures: Figures, entry: Told) -> str:
    """Return the flag about an entry: that of its cell, or of the worst case it belongs to."""
    condition = figures.summary["per_class"]["condition"]
    if entry["attack"] is not None:
        return figures.flag(figures.cell(entry["system"], condition, entry["attack"]))
    same = ("system", "norm", "eps")
    worst = (w for w in figures.summary.get("worst") or [] if w["condition"] == condition)
    found = next((w for w in worst if all(w[key] == entry[key] for key in same)), None)
    return "" if found is None or found["reliable"] else "unreliable"


def _sentence(figures: Figures, name: str, scenarios: Sequence[_Scenario]) -> str:
    """Return the worst class of a system in words, in every scenario."""
    parts = []
    for place, entries in scenarios:
        entry = next((e for e in entries if e["system"] == name), None)
        if entry is not None:
            parts.append(f"{place} {_words(figures, entry)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _words(figures: Figures, entry: Told) -> str:
    low, high = (quantity(entry["value"][entry[end]], "accuracy") for end in ("worst", "best"))
    if not entry["spread"]:
        return f"every class has {low}"
    clear = entry["spread"] > entry["by_chance"]
    told = f"{number(100 * entry['spread'])} points apart"
    chance = "" if clear else ", which equally hard classes would show by chance too"
    worst, best = (_equals(figures, entry, entry["value"][entry[end]]) for end in ("worst", "best"))
    return f"the lowest {worst} with {low}, the highest {best} with {high}: {told}{chance}"


def _equals(figures: Figures, entry: Told, level: float) -> str:
    """Return the classes of this accuracy, such as ``is cat`` or ``are bird and deer``."""
    names = [class_name(figures, i) for i, value in enumerate(entry["value"]) if value == level]
    told = listed(names) if len(names) <= NAMED else count(len(names), "class", "classes")
    return f"{'is' if len(names) == 1 else 'are'} {told}"
