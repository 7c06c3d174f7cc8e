"""The table of every metric of every cell."""

from __future__ import annotations

from clearsight.pipelines.report.figures import Figures, value
from clearsight.pipelines.report.words import NONE, quantity, span
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.summary import CellFigures


def every_measure(figures: Figures) -> tuple[list[str], list[tuple[CellFigures, list[tuple[str, str]]]]]:
    """Return the names of all metrics, and every cell with each one's value and interval."""
    metrics = [metric for metric in figures.run.metrics if any(value(cell, metric) for cell in figures.cells)]
    rows = []
    for cell in figures.cells:
        found = [value(cell, metric) for metric in metrics]
        rows.append(
            (
                cell,
                [
                    (quantity(each.value, metric, unit=False), span(each.low, each.high, metric))
                    if each
                    else (NONE, "")
                    for each, metric in zip(found, metrics, strict=True)
                ],
            )
        )
    units = [(display_of(metric).label, display_of(metric).unit) for metric in metrics]
    return [f"{label}, {unit}" if unit else label for label, unit in units], rows
