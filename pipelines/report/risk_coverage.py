"""Error against the share of answers that are given: a chart and its table for each condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clearsight.pipelines.report.charts import look, to_svg
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.svg import SENTINELS, drawing_settings, quiet_axes
from clearsight.pipelines.runs.risk_coverage import RiskCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.3, 2.5)
"""Inches of a chart."""
MOST = 4
"""Conditions on a page, at most: clean images first, then those of the run in order."""


@dataclass(frozen=True)
class RiskChart:
    """A condition: the chart, and the table behind it.

    Attributes:
        title: of the condition.
        svg: the chart.
        coverages: heads of the columns, in percent.
        rows: system, and the error in percent with its interval, for each coverage.
    """

    title: str
    svg: str
    coverages: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]


def risk_charts(figures: Figures) -> list[RiskChart]:
    """Return a chart for each condition of a run that asks what abstaining is worth."""
    curves = figures.run.risk_curves
    conditions = [name for name in figures.conditions if any(each.condition == name for each in curves)]
    conditions.sort(key=lambda name: name != figures.clean)
    return [
        _chart(figures, name, [each for each in curves if each.condition == name], f"v{number}")
        for number, name in enumerate(conditions[:MOST])
    ]


def _chart(figures: Figures, condition: str, curves: list[RiskCurve], name: str) -> RiskChart:
    rows = [
        (
            curve.system,
            [
                (f"{100 * risk.value:.1f}", f"{100 * risk.low:.1f} to {100 * risk.high:.1f}")
                for risk in curve.risks
            ],
        )
        for curve in curves
    ]
    title = figures.title(condition)
    heads = [f"{100 * share:.0f} %" for share in curves[0].coverages]
    return RiskChart(title, _draw(figures, title, curves, name), heads, rows)


def _draw(figures: Figures, title: str, curves: list[RiskCurve], name: str) -> str:
    from matplotlib.figure import Figure

    with drawing_settings():
        canvas = Figure(figsize=SIZE)
        canvas.patch.set_visible(False)
        axes = canvas.add_axes((0.085, 0.16, 0.9, 0.8))
        for curve in reversed(curves):
            drawn = look(figures, figures.names.index(curve.system))
            lows, highs = [risk.low for risk in curve.risks], [risk.high for risk in curve.risks]
            faint = 0.14 if len(curves) <= 3 else 0.07
            axes.fill_between(curve.coverages, lows, highs, color=drawn["color"], alpha=faint, linewidth=0)
            axes.plot(curve.coverages, [risk.value for risk in curve.risks], clip_on=False, **drawn)
        _frame(axes, max(risk.high for curve in curves for risk in curve.risks))
        spoken = "; ".join(
            f"{curve.system} {100 * curve.risks[0].value:.1f} % of the surest tenth,"
            f" {100 * curve.risks[-1].value:.1f} % of all"
            for curve in curves
        )
        return to_svg(canvas, name, f"Error by the share of answers that are given, {title}: {spoken}")


def _frame(axes: Axes, highest: float) -> None:
    """Draw quiet axes from 0 to the next tenth above the highest interval."""
    top = min(10, int(10 * highest) + 1)
    marks = range(0, top + 1, 1 if top <= 5 else 2)
    axes.set(xlim=(0.07, 1.03), ylim=(-0.02 * top / 10, top / 10))
    axes.set_yticks([mark / 10 for mark in marks], [f"{10 * mark}" for mark in marks])
    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    axes.set_xticks(shares, [f"{100 * share:.0f}" for share in shares])
    axes.set_xlabel("answers that are given, the surest first, %", color=SENTINELS["muted"])
    quiet_axes(axes, pad=4)
