"""Curves for a notebook: a metric against the severity of corruptions, or the size of perturbations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.report.attack_tables import curve_size
from clearsight.pipelines.report.charts import Point, severity_lines
from clearsight.pipelines.report.eps_chart import attack_families, size_line
from clearsight.pipelines.report.figures import Figures, value
from clearsight.pipelines.report.notebook import check_measured
from clearsight.pipelines.report.words import NORMS
from clearsight.pipelines.runs.displays import display_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Over = Literal["severity", "eps"]
ACROSS = 4
"""Panels side by side, at most."""


@dataclass(frozen=True)
class Panel:
    """One set of axes: a corruption, or a kind of attack under a condition.

    Attributes:
        title: what stands above.
        axis: what the horizontal axis is.
        lines: the points of each system.
        ticks: position -> label.
    """

    title: str
    axis: str
    lines: Mapping[str, Sequence[Point]]
    ticks: Mapping[float, str]


def curves(summary: Mapping[str, Any], metric: str, over: Over) -> Figure:
    """Draw a panel for every corruption with several severities, or every attack with several sizes.

    Args:
        summary: the contents of ``summary.json``.
        metric: which one.
        over: what lies along the horizontal axis.

    Raises:
        ConfigError: it was not measured, or nothing was at two severities or sizes.
    """
    from clearsight.pipelines.report.figure import ShownFigure

    figures = Figures(summary)
    check_measured(metric, [name for cell in figures.cells for name in cell.metrics])
    panels = list(_by_severity(figures, metric) if over == "severity" else _by_size(figures, metric))
    if not panels:
        what = "corruption was measured at two severities" if over == "severity" else "attack at two sizes"
        raise ConfigError(f"no {what}", where="plot", hint="over='conditions' draws every condition")
    display = display_of(metric)
    columns = min(len(panels), ACROSS)
    rows = -(-len(panels) // columns)
    canvas = ShownFigure(figsize=(max(4.0, 2.8 * columns), 0.6 + 2.4 * rows), layout="constrained")
    grid = list(canvas.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        for number, system in enumerate(figures.names):
            if line := panel.lines.get(system):
                xs, *heights = zip(*line, strict=True)
                ys, lows, highs = ([display.scale * height for height in part] for part in heights)
                axes.fill_between(xs, lows, highs, color=f"C{number}", alpha=0.12, linewidth=0)
                axes.plot(xs, ys, "o-", color=f"C{number}", markersize=4, label=system)
        axes.set_title(panel.title, fontsize="medium")
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()))
        axes.set_xlabel(panel.axis)
        axes.grid(alpha=0.3)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    first = grid[0]
    first.set_ylabel(f"{display.label}, {display.unit}" if display.unit else display.label)
    first.legend(fontsize="small")
    return canvas


def _by_severity(figures: Figures, metric: str) -> list[Panel]:
    attack = next((name for name in figures.attacks if name in figures.unattacked), figures.attacks[0])
    panels = []
    for row in figures.rows():
        if len(row.conditions) < 2:
            continue
        found = severity_lines(figures, row, attack, metric)
        lines = {figures.names[index]: line for index, line in found.items()}
        if lines:
            severities = sorted({point[0] for line in lines.values() for point in line})
            ticks = {severity: f"{severity:g}" if severity else "clean" for severity in severities}
            panels.append(Panel(row.label, "severity", lines, ticks))
    return panels


def _by_size(figures: Figures, metric: str) -> list[Panel]:
    panels = []
    for condition in figures.conditions:
        for (kind, norm, threat, _), attacks in attack_families(figures).items():
            lines = {}
            for name in figures.names:
                cells = size_line(figures, name, condition, attacks, metric)
                estimates = {eps: value(cell, metric) for eps, cell in cells.items()}
                if sum(eps > 0 for eps in cells) > 1:
                    lines[name] = [(eps, e.value, e.low, e.high) for eps, e in estimates.items() if e]
            if lines:
                sizes = sorted({point[0] for line in lines.values() for point in line})
                ticks = {eps: curve_size(norm, eps) if eps else "0" for eps in sizes}
                title = f"{kind} ({threat}), {condition}" if threat else f"{kind}, {condition}"
                panels.append(Panel(title, f"size, {NORMS.get(norm, norm)}", lines, ticks))
    return panels
