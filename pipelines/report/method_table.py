"""Systems side by side: natural and attacked accuracy, calibration, corruption error, training cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from clearsight.data.benchmark.sets import SETS
from clearsight.data.contract.estimate import Estimate
from clearsight.data.statistics import holm
from clearsight.pipelines.report.attack_tables import overrated, worst_entries
from clearsight.pipelines.report.figures import Column, Entry, Figures, value
from clearsight.pipelines.report.reliability import LIMITED
from clearsight.pipelines.report.words import count, number, plain, quantity, radius, span
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.facts import SystemFacts, Training

BEST, NEAR = "best", "near"
MARKS = {BEST: "\u25cf", NEAR: "\u25cb"}
"""Marks of the best of a column, and of what is not clearly worse than the best."""
LEVEL = 0.05
"""Corrected p below which a system is clearly worse than the best."""
FIFTEEN = frozenset(SETS["imagenet_c_15"])


@dataclass(frozen=True)
class Head:
    """A column's heading, what stands below it, which direction is better, and the attacks of the column."""

    label: str
    note: str
    better: str | None
    attacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A measured figure with its interval (shares); ``trusted`` is False where the truth may be worse."""

    value: float
    low: float
    high: float
    flag: str = ""
    trusted: bool = True
    extra: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell as it is written; ``mark`` is ``best``, ``near`` or nothing."""

    value: str
    interval: str
    mark: str
    flag: str
    extra: str


@dataclass(frozen=True)
class MethodRow:
    """One system: how its parts were trained (method, cost), and its figures."""

    system: str
    methods: list[str]
    costs: list[str]
    machines: list[str]
    cells: list[Cell | None]


@dataclass(frozen=True)
class MethodTable:
    """Systems by figures."""

    heads: list[Head]
    rows: list[MethodRow]

    @property
    def trained(self) -> bool:
        """Return whether the training of any part is known."""
        return any(row.methods or row.costs for row in self.rows)

    @property
    def marked(self) -> bool:
        """Return whether any cell has a mark."""
        return any(cell and cell.mark for row in self.rows for cell in row.cells)


def method_table(figures: Figures) -> MethodTable | None:
    """Return the systems side by side; None where there are not two of them or nothing was attacked.

    Columns that hold for the clean images: accuracy without an attack and under each one in the order of
    the config, the worst case over the attacks of a radius, and the calibration error without an attack;
    then the mean error under corruption.
    """
    if figures.clean is None or len(figures.names) < 2:
        return None
    attacked = [_attacked(figures, attack) for attack in figures.attacked]
    if not any(found for _, found in attacked):
        return None
    columns = [*_natural(figures, "accuracy"), *attacked, *_worst(figures)]
    columns += [*_natural(figures, "ece"), *_corrupted(figures)]
    columns = [(head, found) for head, found in columns if found]
    written = [_written(figures, head, found) for head, found in columns]
    rows = [
        MethodRow(system.name, *_training(system), [column.get(system.name) for column in written])
        for system in figures.systems
    ]
    return MethodTable([head for head, _ in columns], rows)


_Column = tuple[Head, dict[str, Found]]


def _natural(figures: Figures, metric: str) -> list[_Column]:
    """Return the column of a metric on clean images without an attack."""
    attack = next((a for a in figures.attacks if a in figures.unattacked), "")
    form = display_of(metric)
    if metric == "accuracy":
        head = Head("natural", "no attack", form.better, (attack,))
    else:
        head = Head(form.label, "no attack", form.better)
    return [(head, _each(figures, lambda name: figures.cell(name, figures.clean, attack), metric))]


def _attacked(figures: Figures, attack: str) -> _Column:
    threat = figures.threat(attack)
    note = ", ".join(filter(None, [threat if threat != "adaptive" else "", figures.ball(attack)]))
    found = _each(figures, lambda name: figures.cell(name, figures.clean, attack), "accuracy")
    if threat in LIMITED:
        # It may know all of a bare classifier and only a part of the others: no fair race.
        found = {name: replace(figure, trusted=False) for name, figure in found.items()}
    return Head(attack, note, "higher", (attack,)), found


def _each(figures: Figures, entry_of: Callable[[str], Entry | None], metric: str) -> dict[str, Found]:
    """Return system -> figure, where it was measured."""
    found = {}
    for name in figures.names:
        entry = entry_of(name)
        if entry is not None and (estimate := value(entry, metric)):
            found[name] = _found(estimate, figures.flag(entry), trusted=not figures.overrated(entry))
    return found


def _found(estimate: Estimate, flag: str, *, trusted: bool) -> Found:
    return Found(estimate.value, estimate.low, estimate.high, flag, trusted)


def _worst(figures: Figures) -> list[_Column]:
    """Return a column for each set of attacks of one radius that was made on the clean images."""
    by_attacks: dict[tuple[str, float, tuple[str, ...]], dict[str, Found]] = {}
    for case in worst_entries(figures):
        if case.condition == figures.clean:
            flag = "" if case.reliable else "unreliable"
            found = _found(case.accuracy, flag, trusted=not overrated(figures, case))
            # Systems under different sets of attacks cannot be compared, so each set has its column.
            place = (case.norm, case.eps, tuple(case.attacks))
            by_attacks.setdefault(place, {})[case.system] = found
    return [
        (Head("worst case", f"{radius(norm, eps)}, {len(attacks)} attacks", "higher", attacks), found)
        for (norm, eps, attacks), found in by_attacks.items()
    ]


def _corrupted(figures: Figures) -> list[_Column]:
    """Return the mean error over the 15 corruptions of ImageNet-C, or over the largest group there is."""
    attack = next((a for a in figures.attacks if a in figures.unattacked), "")
    groups = [c for c in figures.columns() if c.attack == attack and c.group != "clean"]
    if not groups:
        return []
    kinds = {c.group: {member.kind for member in figures.members(c.group)} for c in groups}
    chosen = max(groups, key=lambda c: (kinds[c.group] == FIFTEEN, c.conditions))
    note = f"{count(len(kinds[chosen.group]), 'type')}, {count(chosen.conditions, 'condition')}"
    return [(Head("corruption error", note, "lower"), _errors(figures, chosen))]


def _errors(figures: Figures, column: Column) -> dict[str, Found]:
    found = {}
    for name in figures.names:
        entry = figures.entry(name, column)
        if right := value(entry, "accuracy"):
            ratio = value(entry, "mce")
            extra = f"mCE {quantity(ratio.value, 'mce')}" if ratio else ""
            found[name] = Found(1 - right.value, 1 - right.high, 1 - right.low, extra=extra)
    return found


def _written(figures: Figures, head: Head, column: Mapping[str, Found]) -> dict[str, Cell]:
    """Return the cells of a column, with the best marked, and those that are not clearly worse.

    Only figures that can be trusted compete. Where all are equal nothing is best.
    """
    sign = 1 if head.better == "higher" else -1
    rivals = {name: figure for name, figure in column.items() if figure.trusted}
    if len({figure.value for figure in rivals.values()}) < 2:
        return {name: _cell(figure, "") for name, figure in column.items()}
    top = max(rivals, key=lambda name: sign * rivals[name].value)
    near = _near(figures, head, rivals, top)
    marks = {name: BEST if rivals[name].value == rivals[top].value else NEAR for name in {top, *near}}
    return {name: _cell(figure, marks.get(name, "")) for name, figure in column.items()}


def _near(figures: Figures, head: Head, rivals: Mapping[str, Found], top: str) -> set[str]:
    """Return the systems that are not clearly worse than the best.

    Accuracies are compared on the same images by McNemar's test, with Holm's correction in the column;
    figures without such a test by whether the intervals overlap, which is more conservative.
    """
    others = [name for name in rivals if name != top]
    tested = {}
    for scenario in figures.run.pairs:
        if head.attacks and tuple(scenario.attacks) == head.attacks:
            tested = {frozenset((pair.first, pair.second)): pair.p for pair in scenario.pairs}
    raw = [tested.get(frozenset((top, name))) for name in others]
    if None not in raw:
        adjusted = holm([p for p in raw if p is not None])
        return {name for name, p in zip(others, adjusted, strict=True) if p >= LEVEL}
    best = rivals[top]
    return {name for name in others if rivals[name].low <= best.high and best.low <= rivals[name].high}


def _cell(figure: Found, mark: str) -> Cell:
    interval = span(figure.low, figure.high, "accuracy")
    return Cell(quantity(figure.value, "accuracy", unit=False), interval, mark, figure.flag, figure.extra)


def _training(system: SystemFacts) -> tuple[list[str], list[str], list[str]]:
    """Return methods, costs and machines of the trained parts, each with its name if there are several."""
    trained = [(part.name, part.training) for part in system.parts if part.training]
    methods, costs, machines = [], [], []
    for part, training in trained:
        name = f"{part}: " if len(trained) > 1 else ""
        if training.method:
            methods.append(name + plain(training.method))
        if cost := _cost(training):
            costs.append(name + cost)
        if training.machine:
            machines.append(training.machine)
    return methods, costs, list(dict.fromkeys(machines))


def _cost(training: Training) -> str:
    minutes, epochs, passes = training.minutes, training.epochs, training.back_propagations
    words = []
    if minutes is not None:
        words.append(f"{number(minutes / 60)}\u00a0h" if minutes >= 120 else f"{number(minutes, 0)}\u00a0min")
    if epochs is not None:
        words.append(f"{number(epochs)}\u00a0epochs")
    if passes is not None:
        # Of the attack alone: what it costs an image in every epoch, and what early stops save.
        words.append(f"{number(passes)}\u00a0attack gradients an\u00a0image and\u00a0epoch")
    if words and training.init:
        words.append(f"from {training.init}")
    return ", ".join(words)
