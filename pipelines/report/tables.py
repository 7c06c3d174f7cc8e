"""The tables of the page: what stands in each cell, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clearsight.data.benchmark.sets import ALEXNET_SOURCE
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.figures import DETECTION, Column, Entry, Figures, Row, value, versus
from clearsight.pipelines.report.words import (
    NONE,
    SYMBOLS,
    VERDICTS,
    count,
    number,
    plain,
    point_span,
    points,
    probability,
    quantity,
    span,
)
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.facts import SystemFacts, Time
from clearsight.pipelines.runs.summary import Comparison, Difference, Ratio, WorstCase

WIDE = 6
"""Columns that a table may have before it is cut into several."""
FULL = 0.20
"""Difference (a share) at which a heat cell has its full colour."""


@dataclass(frozen=True)
class Gap:
    """A difference from the baseline, in words and as positions (percent) on a ruler with zero at 50."""

    text: str
    interval: str
    verdict: str
    symbol: str
    p: str
    low: float
    high: float
    middle: float

    @property
    def word(self) -> str:
        """Return the verdict as it is written."""
        return VERDICTS.get(self.verdict, self.verdict)


@dataclass(frozen=True)
class Box:
    """One cell of the headline table.

    Attributes:
        value: the figure by which systems are compared; ``interval`` is its interval.
        gap: the difference from the baseline.
        flag: ``unreliable``, ``suspect`` or nothing.
        beside: the mean corruption error as published, of the whole of ImageNet-C; else nothing.
    """

    value: str
    interval: str
    gap: Gap | None
    flag: str = ""
    beside: str = ""


@dataclass(frozen=True)
class Block:
    """A stretch of the headline table: its columns, and a row of boxes for each system.

    The attack is empty where every column has one of its own.
    """

    attack: str
    columns: list[Column]
    rows: list[tuple[str, list[Box | None]]]


@dataclass(frozen=True)
class Heat:
    """One cell of a heat table; ``strength`` (0 to 1) is how much colour it gets."""

    text: str
    verdict: str
    symbol: str
    strength: float
    hint: str
    flag: str = ""


@dataclass(frozen=True)
class HeatTable:
    """The heat table of one system under one attack: rows of cells by family of corruptions."""

    system: str
    attack: str
    severities: list[str]
    families: list[tuple[str, list[tuple[str, list[Heat | None]]]]]


@dataclass(frozen=True)
class Measure:
    """A table of another metric: systems by columns."""

    label: str
    note: str
    columns: list[str]
    rows: list[tuple[str, list[tuple[str, list[str], str]]]]


def headline(figures: Figures) -> list[Block]:
    """Return the headline table: a block an attack, cut where it has more than `WIDE` columns.

    Attacks that were made under one condition alone share a block.
    """
    columns = figures.columns()
    gaps = [gap for n in figures.others for c in columns if (gap := versus(figures.entry(n, c)))]
    reach = max((abs(end) for gap in gaps for end in (gap.low, gap.high)), default=1.0)
    blocks = []
    for attack, part in _stretches(figures):
        rows = [(name, [_box(figures, name, column, reach) for column in part]) for name in figures.names]
        blocks.append(Block(attack, part, rows))
    return blocks


def _stretches(figures: Figures) -> list[tuple[str, list[Column]]]:
    """Return the columns of each attack, at most `WIDE` at a time.

    Attacks of a single column stand side by side, without a name in common.
    """
    columns = figures.columns()
    by_attack = {a: [c for c in columns if c.attack == a] for a in figures.attacks}
    lone = [part[0] for part in by_attack.values() if len(part) == 1]
    if len(lone) < 2:
        lone = []
    parts = [(a, part) for a, part in by_attack.items() if part and part[0] not in lone]
    if lone:
        parts.append(("", lone))
    return [(attack, cut) for attack, part in parts for cut in _cut(part)]


def _cut(part: list[Column]) -> list[list[Column]]:
    """Return columns in stretches of much the same length."""
    pieces = -(-len(part) // WIDE)
    length = -(-len(part) // pieces)
    return [part[start : start + length] for start in range(0, len(part), length)]


def _box(figures: Figures, name: str, column: Column, reach: float) -> Box | None:
    entry = figures.entry(name, column)
    metric = figures.primary or "accuracy"
    estimate = value(entry, metric)
    if estimate is None:
        return None
    interval = span(estimate.low, estimate.high, metric)
    ratio = value(entry, "mce")
    published = isinstance(ratio, Ratio) and ratio.source == ALEXNET_SOURCE
    beside = f"mCE {quantity(ratio.value, 'mce')}" if ratio and published else ""
    return Box(quantity(estimate.value, metric), interval, gap(entry, reach), figures.flag(entry), beside)


def gap(entry: Entry | WorstCase | None, reach: float = 1.0) -> Gap | None:
    """Return the difference of an entry from the baseline; ``reach`` is the ruler's half width (a share)."""
    difference = versus(entry)
    if difference is None:
        return None
    ends = (difference.low, difference.high, difference.difference)
    places = [round(50 + 50 * max(-1.0, min(1.0, end / (reach or 1.0))), 1) for end in ends]
    p = probability(difference.p_adjusted if isinstance(difference, Comparison) else None)
    interval = point_span(difference.low, difference.high)
    return Gap(
        points(difference.difference), interval, difference.verdict, SYMBOLS[difference.verdict], p, *places
    )


def heat(figures: Figures) -> list[HeatTable]:
    """Return a heat table per attack and compared system (every system where there is no baseline)."""
    if figures.primary is None or not figures.corrupted():
        return []
    names = figures.others or figures.names
    tables = [_heat_table(figures, name, attack) for attack in figures.attacks for name in names]
    return [table for table in tables if table.families]


def _heat_table(figures: Figures, name: str, attack: str) -> HeatTable:
    severities = figures.severities()
    families: dict[str, list[tuple[str, list[Heat | None]]]] = {}
    for row in figures.rows():
        cells = [_heat(figures, name, attack, row, severity) for severity in severities]
        if any(cells):
            families.setdefault(row.family, []).append((plain(row.label), cells))
    labels = [f"{severity:g}" for severity in severities]
    return HeatTable(name, attack, labels, list(families.items()))


def _heat(figures: Figures, name: str, attack: str, row: Row, severity: float) -> Heat | None:
    condition = row.conditions.get(severity)
    entry = figures.cell(name, condition, attack) if condition else None
    metric = figures.primary or ""
    estimate = value(entry, metric)
    if estimate is None:
        return None
    level = f"{condition}: {display_of(metric).label} {quantity(estimate.value, metric)}"
    flag = figures.flag(entry)
    interval = span(estimate.low, estimate.high, metric)
    hint = f"{level} ({interval})" if interval else level
    hint += f"; {flag}" if flag else ""
    if figures.others:
        difference, measured = gap(entry), versus(entry)
        if difference is None or measured is None:
            return None
        strength = min(1.0, abs(measured.difference) / FULL)
        hint += f"; difference {difference.text} points ({difference.interval}), p = {difference.p}"
        return Heat(difference.text, difference.verdict, difference.symbol, round(strength, 2), hint, flag)
    strength = min(1.0, max(0.0, estimate.value)) if metric == "accuracy" else 0.0
    return Heat(quantity(estimate.value, metric, unit=False), "level", "", round(strength, 2), hint, flag)


def measures(figures: Figures) -> list[Measure]:
    """Return a table for each metric beside the primary one, and for mean corruption errors, by attack."""
    named = figures.run.metrics
    skip = {figures.primary, *(f"{metric}_in" for metric in named if metric != figures.primary)}
    wanted = [metric for metric in named if metric not in skip]
    parts = _stretches(figures)
    tables = [
        _measure(figures, metric, *part) for metric in [*wanted, "mce", "relative_mce"] for part in parts
    ]
    return [table for table in tables if table]


def _measure(figures: Figures, metric: str, attack: str, columns: list[Column]) -> Measure | None:
    rows, sources = [], set()
    used: set[int] = set()
    for name in figures.names:
        entries = [figures.entry(name, column) for column in columns]
        estimates = [value(entry, metric) for entry in entries]
        if not any(estimates):
            continue
        used |= {index for index, item in enumerate(estimates) if item}
        sources |= {item.source for item in estimates if isinstance(item, Ratio) and item.source}
        before = [value(entry, f"{metric}_in") for entry in entries]
        flags = [figures.flag(entry) for entry in entries]
        rows.append((name, [_pair(*cell, metric) for cell in zip(estimates, before, flags, strict=True)]))
    if not used:
        return None
    form = display_of(metric)
    title = (f"{form.label}, {form.unit}" if form.unit else form.label) + (
        "" if attack in figures.unattacked else f", under {attack}" if attack else ", by attack"
    )
    kept = sorted(used)
    cut = [(name, [cells[index] for index in kept]) for name, cells in rows]
    note = "; ".join([*filter(None, [form.note]), *sorted(sources)])
    return Measure(title, note, [column_title(columns[index], attack, figures) for index in kept], cut)


def _pair(
    estimate: Estimate | None, before: Estimate | None, flag: str, metric: str
) -> tuple[str, list[str], str]:
    """Return a value, the lines below it (its interval, what the corrupted image had), and its flag."""
    if estimate is None:
        return NONE, [], ""
    below = [span(estimate.low, estimate.high, metric)]
    if before is not None:
        below.append(f"before: {quantity(before.value, metric, unit=False)}")
    return quantity(estimate.value, metric, unit=False), [line for line in below if line], flag


def costs(figures: Figures) -> list[dict[str, Any]]:
    """Return each system's median time an image with its interval, and a bar (percent of the slowest)."""
    timed = [(system, system.ms_per_image or Time()) for system in figures.systems]
    most = max((time.high or time.value for _, time in timed if time.value is not None), default=1.0)
    base = next((time.value for system, time in timed if system.name == figures.baseline), None)
    return [_cost(system, time, most, base) for system, time in timed]


def _cost(system: SystemFacts, time: Time, most: float, base: float | None) -> dict[str, Any]:
    middle = time.value
    sizes = [part.parameters for part in system.parts]
    counted = [size for size in sizes if size is not None]
    low, high = (middle if end is None else end for end in (time.low, time.high))
    return {
        "name": system.name,
        "value": number(middle, _digits(middle)),
        "interval": ""
        if time.low is None
        else f"{number(low, _digits(middle))} to {number(high, _digits(middle))}",
        "ratio": f"{middle / base:.1f}\u00a0\u00d7" if middle and base else "",
        "parameters": f"{sum(counted):,}" if sizes and len(counted) == len(sizes) else NONE,
        "bar": 0.0 if middle is None else round(100 * middle / most, 1),
        "low": 0.0 if low is None else round(100 * low / most, 1),
        "high": 0.0 if high is None else round(100 * high / most, 1),
    }


def _digits(value: float | None) -> int:
    return 2 if value is None or value < 10 else 1 if value < 100 else 0


def every_cell(figures: Figures) -> list[dict[str, Any]]:
    """Return all cells as text, for the complete table."""
    metric = figures.primary or "accuracy"
    rows = []
    for cell in figures.cells:
        estimate = value(cell, metric)
        rows.append(
            {
                "system": cell.system,
                "condition": cell.condition,
                "attack": cell.attack,
                "n": f"{cell.n:,}",
                "value": quantity(estimate.value if estimate else None, metric, unit=False),
                "flag": figures.flag(cell),
                "interval": span(estimate.low, estimate.high, metric) if estimate else "",
                "gap": gap(cell),
                "changed": _changed(versus(cell)),
            }
        )
    return rows


def _changed(difference: Difference | None) -> str:
    return f"+{difference.gained} \u2212{difference.lost}" if isinstance(difference, Comparison) else ""


def column_title(column: Column, attack: str, figures: Figures) -> str:
    """Return the heading of a column: its group, or its attack where the table has several."""
    if attack:
        untouched = column.group == "clean" and figures.primary == DETECTION
        return plain((figures.clean if untouched else None) or column.group)
    return "no attack" if column.attack in figures.unattacked else column.attack


def column_note(column: Column, attack: str, figures: Figures) -> str:
    """Return what stands below a column's heading: how many conditions, or what attack it is."""
    many = "no corruption" if column.group == "clean" else count(column.conditions, "condition")
    if attack or column.attack in figures.unattacked:
        return many
    where = "" if column.group == "clean" else f"{plain(column.group)}, {many}"
    return ", ".join(filter(None, [figures.threat(column.attack), figures.ball(column.attack), where]))


def column_label(column: Column, attack: str, figures: Figures) -> str:
    """Return the heading where it stands alone: with the threat model where the attacker knew too little."""
    title, threat = column_title(column, attack, figures), figures.threat(column.attack)
    return title if attack or threat in ("", "adaptive") else f"{title} ({threat})"
