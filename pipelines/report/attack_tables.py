"""The tables of the section on attacks: budgets, the worst case, and threat models side by side."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.figures import Entry, Figures, value
from clearsight.pipelines.report.reliability import judged
from clearsight.pipelines.report.tables import Gap, gap
from clearsight.pipelines.report.words import NONE, NORMS, THREATS, number, quantity, radius, size, span
from clearsight.pipelines.runs.summary import AttackCost, CellFigures, MemberCost, WorstCase

NORM_FIELDS = ("linf", "l2", "l1")


@dataclass(frozen=True)
class Level:
    """An accuracy with its interval and its flag."""

    value: str
    interval: str
    flag: str


@dataclass(frozen=True)
class Member:
    """What one member of a composition did: images tried and broken, total forward and backward passes."""

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
    return _level(value(entry, "accuracy"), figures.flag(entry))


def _level(accuracy: Estimate | None, flag: str) -> Level:
    if accuracy is None:
        return Level(NONE, "", flag)
    interval = span(accuracy.low, accuracy.high, "accuracy")
    return Level(quantity(accuracy.value, "accuracy"), interval, flag)


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
    adversary = figures.adversary(attack)
    threat = figures.threat(attack)
    known = f"{threat}: {THREATS.get(threat, '')}".rstrip(": ")
    if adversary.source:
        known = f"{threat}: images made on \u2018{adversary.source}\u2019"
    return [fact for fact in (adversary.kind, known, figures.ball(attack)) if fact]


def _budget(figures: Figures, cell: CellFigures) -> Budget:
    cost = cell.attacked or AttackCost(0)
    norm = figures.adversary(cell.attack).norm or "l2"
    others = [(other, cost.length(other)) for other in NORM_FIELDS if other != norm]
    return Budget(
        cell.system,
        level(figures, cell),
        gap(cell),
        number(cost.queries),
        number(cost.backwards),
        _moved(norm, cost.length(norm)),
        [_moved(other, length) for other, length in others if length is not None],
        _ways(cell.attacked, alone=figures.threat(cell.attack) == "oblivious"),
        [_member(member) for member in cost.members],
    )


def _moved(norm: str, length: float | None) -> str:
    """Return the mean length of a perturbation: L-infinity in grey levels of 255."""
    if length is None:
        return NONE
    text = f"{length * 255:.1f}/255" if norm == "linf" else f"{length:.{1 if norm == 'l1' else 2}f}"
    return f"{NORMS[norm]}\u00a0{text}"


def _ways(cost: AttackCost | None, *, alone: bool) -> list[str]:
    """Return how the gradient went through the parts that were attacked, perhaps the classifier alone."""
    if cost is None:
        return []
    lines = [
        f"{'classifier' if alone else part}: {way}" + (", claims exact" if part in cost.broken else "")
        for part, way in cost.through.items()
    ]
    return lines or ["none used"]


def _member(cost: MemberCost) -> Member:
    counts = (f"{number:,}" for number in (cost.tried, cost.broken, cost.queries, cost.backwards))
    return Member(cost.member, *counts)


def worst_entries(figures: Figures) -> list[WorstCase]:
    """Return ``worst`` of the summary; a gain that proves nothing has the verdict ``void``."""
    cases = figures.run.worst
    unproven = {(c.system, c.condition, c.norm, c.eps): overrated(figures, c) for c in cases}
    return [
        judged(
            case,
            overrated=overrated(figures, case),
            against=unproven.get((figures.baseline or "", case.condition, case.norm, case.eps), False),
        )
        for case in cases
    ]


def overrated(figures: Figures, case: WorstCase) -> bool:
    """Return whether a worst case may be lower in truth: condemned, or no attack knew the whole system."""
    known = any(figures.informed(case.system, attack) for attack in case.attacks)
    return not case.reliable or not known


def worst(figures: Figures) -> list[Worst]:
    """Return the worst case over attacks, a row a radius, condition and system."""
    return [
        Worst(
            case.system,
            f"{radius(case.norm, case.eps)}, {figures.title(case.condition)}",
            _level(case.accuracy, "" if case.reliable else "unreliable"),
            quantity(case.majority.value, "accuracy") if case.majority else "",
            gap(case),
            case.attacks,
            case.unreliable,
        )
        for case in worst_entries(figures)
    ]


def sides(figures: Figures) -> list[Side]:
    """Return each oblivious attack beside the strongest adaptive one of its kind and ball, by system."""
    by_place: dict[tuple[str, str, str], Side] = {}
    for careless in figures.attacked:
        for knowing in figures.attacked:
            if figures.threat(careless) != "oblivious" or figures.threat(knowing) != "adaptive":
                continue
            if _ball(figures, careless) != _ball(figures, knowing):
                continue
            for condition in figures.conditions:
                for name in figures.names:
                    pair = [figures.cell(name, condition, attack) for attack in (careless, knowing)]
                    side = _side(figures, *pair)
                    place = (careless, condition, name)
                    if side and (place not in by_place or side.difference > by_place[place].difference):
                        by_place[place] = side
    return list(by_place.values())


def _ball(figures: Figures, attack: str) -> tuple[str, str | None, float | None]:
    adversary = figures.adversary(attack)
    return adversary.kind, adversary.norm, adversary.eps


def _side(figures: Figures, careless: CellFigures | None, knowing: CellFigures | None) -> Side | None:
    first, second = (value(cell, "accuracy") for cell in (careless, knowing))
    if careless is None or knowing is None or first is None or second is None:
        return None
    system, attacks = careless.system, (careless.attack, knowing.attack)
    difference = first.value - second.value
    apart = max(first.low - second.high, second.low - first.high) > 0
    words = _lesson(difference, apart=apart, alone=figures.informed(system, attacks[0]))
    clear = apart and difference > 0
    if clear and figures.flag(knowing) == "unreliable":
        words += ", or more: the adaptive figure is not to be trusted either"
    ball = figures.ball(attacks[0]) or figures.adversary(attacks[0]).kind
    shown = level(figures, careless), level(figures, knowing)
    return Side(system, ball, figures.title(careless.condition), attacks, *shown, difference, clear, words)


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
