"""Small multiples of a metric against severity, drawn by matplotlib, whose settings are left unchanged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearsight.pipelines.report.figures import Figures, Row, value
from clearsight.pipelines.report.svg import (
    SENTINELS,
    clean,
    drawing_settings,
    quiet_axes,
    series_colour,
    svg_text,
)
from clearsight.pipelines.report.words import plain, quantity
from clearsight.pipelines.runs.displays import display_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX<>p"
DASHES = ["-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1))]
SIZE = (2.2, 1.55)
"""Inches of a panel; at 72 points an inch this is the view box that the page scales."""


@dataclass(frozen=True)
class Panel:
    """One corruption's chart."""

    title: str
    svg: str


@dataclass(frozen=True)
class Family:
    """The panels of one family of corruptions; without a name, of several small families."""

    name: str
    panels: list[Panel]


@dataclass(frozen=True)
class Series:
    """How a system is drawn: the key of the charts."""

    name: str
    svg: str


Point = tuple[float, float, float, float]
"""Severity or size, value, low, high."""


def families(figures: Figures, attack: str) -> list[Family]:
    """Return a panel a corruption, by family; corruptions without figures are left out."""
    by_family: dict[str, list[Panel]] = {}
    data = [
        (row, lines)
        for row in figures.rows()
        if (lines := severity_lines(figures, row, attack, figures.primary or ""))
    ]
    ticks = _ticks([p for _, lines in data for line in lines.values() for p in line])
    last = max(figures.severities(), default=5.0)
    for index, (row, lines) in enumerate(data):
        name = f"c{figures.attacks.index(attack)}-{index}"
        with drawing_settings():
            svg = _panel(figures, lines, ticks, last, name, row.label)
        by_family.setdefault(row.family, []).append(Panel(plain(row.label), svg))
    if len(data) <= 2 * len(by_family):
        return [Family("", [panel for panels in by_family.values() for panel in panels])] if data else []
    return [Family(name, panels) for name, panels in by_family.items()]


def key(figures: Figures, name: str = "k") -> list[Series]:
    """Return the key: a short line with its marker for each system; ``name`` is the prefix of its ids."""
    from matplotlib.figure import Figure

    entries = []
    for index, system in enumerate(figures.names):
        canvas = Figure(figsize=(0.42, 0.16))
        canvas.patch.set_visible(False)
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.set(xlim=(0, 1), ylim=(-1, 1))
        axes.plot([0.02, 0.5, 0.98], [0, 0, 0], markevery=[1], **look(figures, index))
        with drawing_settings():
            entries.append(Series(system, to_svg(canvas, f"{name}{index}", f"line of {system}")))
    return entries


def severity_lines(figures: Figures, row: Row, attack: str, metric: str) -> dict[int, list[Point]]:
    """Return the points of each system, by its index; the clean image is severity 0."""
    places = dict(row.conditions)
    if figures.clean is not None:
        places.setdefault(0.0, figures.clean)
    lines = {}
    for index, name in enumerate(figures.names):
        line = [
            (severity, estimate.value, estimate.low, estimate.high)
            for severity, condition in sorted(places.items())
            if (estimate := value(figures.cell(name, condition, attack), metric))
        ]
        if not all(figures.conditions[places[point[0]]].clean for point in line):
            lines[index] = line
    return lines


def _ticks(points: list[Point]) -> list[float]:
    """Return common ticks of all panels, on round numbers that enclose every interval."""
    if not points:
        return [0.0, 1.0]
    low, high = min(p[2] for p in points), max(p[3] for p in points)
    wanted = max(high - low, 1e-6) / 4
    step = 10.0 ** math.floor(math.log10(wanted))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step >= wanted)
    ends = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(ends[0], ends[1] + 1)]


def _panel(
    figures: Figures,
    lines: dict[int, list[Point]],
    ticks: list[float],
    last: float,
    name: str,
    label: str,
) -> str:
    from matplotlib.figure import Figure

    canvas = Figure(figsize=SIZE)
    canvas.patch.set_visible(False)
    axes = canvas.add_axes((0.155, 0.145, 0.83, 0.82))
    faint = 0.16 if len(lines) <= 3 else 0.08
    for index, line in sorted(lines.items(), reverse=True):
        xs, ys, lows, highs = zip(*line, strict=True)
        drawn = look(figures, index)
        axes.fill_between(xs, lows, highs, color=drawn["color"], alpha=faint, linewidth=0)
        axes.plot(xs, ys, **drawn)
    _frame(axes, ticks, last, figures.primary or "")
    spoken = f"{display_of(figures.primary or '').label} against severity, {plain(label)}: " + "; ".join(
        f"{figures.names[index]} {quantity(line[0][1], figures.primary or '')} at severity {line[0][0]:g}, "
        f"{quantity(line[-1][1], figures.primary or '')} at {line[-1][0]:g}"
        for index, line in lines.items()
    )
    return to_svg(canvas, name, spoken)


def look(figures: Figures, index: int) -> dict[str, Any]:
    """Return colour, dash and marker of a system; the baseline is drawn in ink."""
    baseline = figures.names[index] == figures.baseline
    return {
        "color": SENTINELS["ink"] if baseline else series_colour(index),
        "linestyle": "-" if baseline else DASHES[index % len(DASHES)],
        "linewidth": 1.5,
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 3.2,
        "markeredgewidth": 0,
        "solid_capstyle": "round",
    }


def _frame(axes: Axes, ticks: list[float], last: float, metric: str) -> None:
    """Draw quiet axes: horizontal rules, few ticks, no box."""
    # One tick alone where every figure is the same.
    pad = (ticks[-1] - ticks[0]) * 0.03 or 0.05 * (abs(ticks[0]) or 1.0)
    axes.set(xlim=(-0.25, last + 0.25), ylim=(ticks[0] - pad, ticks[-1] + pad))
    scale = display_of(metric).scale
    digits = next(d for d in range(9) if all(abs(t * scale - round(t * scale, d)) < 1e-6 for t in ticks))
    axes.set_yticks(ticks, [f"{tick * scale:.{digits}f}" for tick in ticks])
    axes.set_xticks(range(math.ceil(last) + 1))
    quiet_axes(axes, pad=3)


def to_svg(canvas: Any, name: str, label: str) -> str:
    """Return a drawing as SVG text for the page: ``name`` prefixes its ids, screen readers say ``label``."""
    return clean(svg_text(canvas), name, label)
