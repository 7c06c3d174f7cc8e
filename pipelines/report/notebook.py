"""What a notebook shows of a run: its headline as HTML, its figures as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.pipelines.report.terminal import certificates, headline
from clearsight.pipelines.runs.displays import display_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = Sequence[Mapping[str, Any]]
WIDEST = 12
"""Conditions, or attacks, that are named below the chart; more are drawn without names."""


def to_html(summary: Mapping[str, Any]) -> str:
    """Return the tables that a run prints as HTML that needs nothing beside it; names are escaped."""
    import io

    from rich.console import Console

    # In a notebook rich would show the tables itself, beside the HTML that is asked for here.
    console = Console(width=160, record=True, file=io.StringIO(), highlight=False, force_jupyter=False)
    console.print(headline(dict(summary)), *certificates(dict(summary)))
    frame = '<pre style="font-family: monospace; line-height: 1.25; overflow-x: auto">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=frame)


def chart(results: Results, metric: str) -> Figure:
    """Draw one metric of every system, condition by condition, with 95 % intervals.

    Args:
        results: rows with ``system``, ``condition``, ``attack``, ``metric``, ``value``, ``low``, ``high``.
        metric: which one.

    Raises:
        ConfigError: it was not measured.
    """
    import numpy as np

    from clearsight.pipelines.report.figure import ShownFigure

    check_measured(metric, [str(row["metric"]) for row in results])
    chosen = [row for row in results if row["metric"] == metric]
    places = list(dict.fromkeys(_place(row) for row in chosen))
    systems = list(dict.fromkeys(str(row["system"]) for row in chosen))
    display = display_of(metric)
    canvas = ShownFigure(figsize=(max(4.0, min(1.2 + 0.7 * len(places), 14.0)), 3.4), layout="constrained")
    axes = canvas.add_subplot()
    for number, system in enumerate(systems):
        rows = [row for row in chosen if row["system"] == system]
        shift = 0.6 * ((number + 0.5) / len(systems) - 0.5)
        values, lows, highs = (
            np.array([display.scale * float(row[name]) for row in rows]) for name in ("value", "low", "high")
        )
        # Rounding may put an end of an interval on the other side of its value.
        below, above = (values - lows).clip(0), (highs - values).clip(0)
        at = [places.index(_place(row)) + shift for row in rows]
        axes.errorbar(at, values, yerr=[below, above], fmt="o", capsize=2, markersize=4, label=system)
    named = places if len(places) <= WIDEST else [""] * len(places)
    axes.set_xticks(range(len(places)), named, rotation=30, ha="right")
    axes.set_ylabel(f"{display.label}, {display.unit}" if display.unit else display.label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    return canvas


def check_measured(metric: str, known: Sequence[str]) -> None:
    """Raise `ConfigError` unless a metric is one of those that were measured."""
    if metric not in known:
        raise ConfigError(
            f"'{metric}' was not measured", where="plot", hint=near_miss(metric, dict.fromkeys(known))
        )


def _place(row: Mapping[str, Any]) -> str:
    return str(row["condition"]) if row["attack"] == "none" else f"{row['condition']}, {row['attack']}"
