"""The tables of the section on attacks: budgets, the worst case, and threat models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clearsight.pipelines.report.figures import Entry, Figures, value
from clearsight.pipelines.report.reliability import judged
from clearsight.pipelines.report.tables import Gap, gap
from clearsight.pipelines.report.words import NONE, NORMS, THREATS, number, quantity, radius, size, span

NORM_FIELDS = ("linf", "l2", "l1")


@dataclass(frozen=True)
class Level:
    """An accuracy with its interval and its mark of flag."""

    value: str
    interval: str
    flag: str


@dataclass(frozen=True)
class Member:
    """What one member of a composition did: images tried and broken, forwards and backwards in all."""

    name: str
    tried: str
    broken: str
    queries: str
    backwards: str


@dataclass(frozen=True)
class Budget:
    """One system under one attack: what was left, and what that cost."""

    system: str
    level: Level
    gap: Gap | None
    queries: str
    backwards: str
    moved: str
    others: list[str]
    ways: list[str]
    members: list[Member]


@dataclass(frozen=True)
class Group:
    """An attack and every system under it."""

    name: str
    facts: list[str]
    rows: list[Budget]


@dataclass(frozen=True)
class Place:
    """The attacks on the images of one condition."""

    title: str
    groups: list[Group]


@dataclass(frozen=True)
class Worst:
    """What a system keeps against all attacks of one radius together."""

    system: str
    place: str
    level: Level
    majority: str
    gap: Gap | None
    attacks: list[str]
    unreliable: list[str]


@dataclass(frozen=True)
class Side:
    """One system against an attacker who knows the classifier alone, and one who knows every part."""

    system: str
    radius: str
    place: str
    attacks: tuple[str, str]
    oblivious: Level
    adaptive: Level
    difference: float
    clear: bool
    words: str


def level(figures: Figures, entry: Entry | None) -> Level:
    """Return an entry's accuracy as it is written."""
    found = value(entry, "accuracy") or {}
    interval = span(found.get("low"), found.get("high"), "accuracy")
    return Level(quantity(found.get("value"), "accuracy"), interval, figures.flag(entry))


def places(figures: Figures) -> list[Place]:
    """Return the attacks by condition, in the order of the run."""
    found = []
    for condition in figures.conditions:
        groups = []
        for attack in figures.attacked:
            cells = [c for name in figures.names if (c := figures.cell(name, condition, attack))]
            if cells:
                groups.append(Group(attack, facts(figures, attack), [_budget(figures, c) for c in cells]))
        if groups:
            found.append(Place(f"On {figures.images(condition)}", groups))
    return found


def facts(figures: Figures, attack: str) -> list[str]:
    """Return what an attack is: its kind, threat model, and ball."""
    told = figures.adversaries.get(attack, {})
    threat = figures.threat(attack)
    known = f"{threat}: {THREATS.get(threat, '')}".rstrip(": ")
    if told.get("source"):
        known = f"{threat}: images made on \u2018{told['source']}\u2019"
    return [fact for fact in (str(told.get("kind") or ""), known, figures.ball(attack)) if fact]


def _budget(figures: Figures, cell: Entry) -> Budget:
    told: Mapping[str, Any] = cell.get("attacked") or {}
    norm = figures.adversaries.get(cell["attack"], {}).get("norm") or "l2"
    return Budget(
        cell["system"],
        level(figures, cell),
        gap(cell),
        number(told.get("queries")),
        number(told.get("backwards")),
        _moved(norm, told.get(norm)),
        [
            _moved(other, told[other])
            for other in NORM_FIELDS
            if other != norm and told.get(other) is not None
        ],
        _ways(told, alone=figures.threat(cell["attack"]) == "oblivious"),
        [_member(m) for m in told.get("members") or []],
    )


def _moved(norm: str, length: float | None) -> str:
    """Return the mean length of a perturbation: L-infinity in grey levels of 255."""
    if length is None:
        return NONE
    text = f"{length * 255:.1f}/255" if norm == "linf" else f"{length:.{1 if norm == 'l1' else 2}f}"
    return f"{NORMS[norm]}\u00a0{text}"


def _ways(told: Mapping[str, Any], *, alone: bool) -> list[str]:
    """Return how the gradient went through the parts of what was attacked, the classifier alone maybe."""
    broken = set(told.get("broken") or ())
    through: Mapping[str, str] = told.get("through") or {}
    lines = [
        f"{'classifier' if alone else part}: {way}" + (", claims exact" if part in broken else "")
        for part, way in through.items()
    ]
    return lines or (["none used"] if told else [])


def _member(told: Mapping[str, Any]) -> Member:
    counts = (f"{int(told[name]):,}" for name in ("tried", "broken", "queries", "backwards"))
    return Member(str(told["member"]), *counts)


def worst_entries(figures: Figures) -> list[Mapping[str, Any]]:
    """Return ``worst`` of the summary; a gain that proves nothing has the verdict ``void``."""
    entries: list[Mapping[str, Any]] = list(figures.summary.get("worst") or [])
    by = {(e["system"], e["condition"], e["norm"], e["eps"]): overrated(figures, e) for e in entries}
    return [
        judged(
            e,
            overrated=overrated(figures, e),
            against=by.get((figures.baseline, e["condition"], e["norm"], e["eps"]), False),
        )
        for e in entries
    ]


def overrated(figures: Figures, entry: Mapping[str, Any]) -> bool:
    """Return whether a worst case may be lower in truth: condemned, or no attack knew the whole system."""
    known = any(figures.informed(entry["system"], attack) for attack in entry["attacks"])
    return not entry["reliable"] or not known


def worst(figures: Figures) -> list[Worst]:
    """Return the worst case over attacks, a row a radius, condition and system."""
    rows = []
    for entry in worst_entries(figures):
        flag = "" if entry["reliable"] else "unreliable"
        found = entry["accuracy"]
        shown = Level(
            quantity(found["value"], "accuracy"), span(found["low"], found["high"], "accuracy"), flag
        )
        votes = entry.get("majority") or {}
        place = f"{radius(entry['norm'], entry['eps'])}, {figures.title(entry['condition'])}"
        rows.append(
            Worst(
                entry["system"],
                place,
                shown,
                quantity(votes["value"], "accuracy") if votes else "",
                gap(entry),
                list(entry["attacks"]),
                list(entry.get("unreliable") or []),
            )
        )
    return rows


def sides(figures: Figures) -> list[Side]:
    """Return each oblivious attack beside the strongest adaptive one of its kind and ball, by system."""
    found: dict[tuple[str, str, str], Side] = {}
    for careless in figures.attacked:
        for knowing in figures.attacked:
            if figures.threat(careless) != "oblivious" or figures.threat(knowing) != "adaptive":
                continue
            if _ball(figures, careless) != _ball(figures, knowing):
                continue
            for condition in figures.conditions:
                for name in figures.names:
                    pair = tuple(figures.cell(name, condition, attack) for attack in (careless, knowing))
                    if not all(value(cell, "accuracy") for cell in pair):
                        continue
                    side = _side(figures, *pair)  # type: ignore[arg-type]  # both are there
                    place = (careless, condition, name)
                    if place not in found or side.difference > found[place].difference:
                        found[place] = side
    return list(found.values())


def _ball(figures: Figures, attack: str) -> tuple[Any, ...]:
    told = figures.adversaries.get(attack, {})
    return (told.get("kind"), told.get("norm"), told.get("eps"))


def _side(figures: Figures, careless: Entry, knowing: Entry) -> Side:
    first, second = (value(cell, "accuracy") or {} for cell in (careless, knowing))
    system, attacks = careless["system"], (careless["attack"], knowing["attack"])
    difference = float(first["value"]) - float(second["value"])
    apart = max(first["low"] - second["high"], second["low"] - first["high"]) > 0
    words = _lesson(difference, apart=apart, alone=figures.informed(system, attacks[0]))
    clear = apart and difference > 0
    if clear and figures.flag(knowing) == "unreliable":
        words += ", or more: the adaptive figure is not to be trusted either"
    ball = figures.ball(attacks[0]) or str(_ball(figures, attacks[0])[0])
    shown = level(figures, careless), level(figures, knowing)
    return Side(system, ball, figures.title(careless["condition"]), attacks, *shown, difference, clear, words)


def _lesson(difference: float, *, apart: bool, alone: bool) -> str:
    wide = f"{number(abs(difference) * 100)} points"
    if alone:
        return "it is the classifier alone, so both attackers know it all"
    if not apart:
        return f"no clear difference: {wide}, and the intervals overlap" if difference else "no difference"
    if difference > 0:
        return f"it looks {wide} safer than it is"
    return f"the attacker who knew less did {wide} better: the adaptive attack is too weak or was fooled"


def curve_size(norm: str, eps: float) -> str:
    """Return the size of one point of a curve as a table's heading."""
    return "no attack" if eps == 0 else size(norm, eps)
