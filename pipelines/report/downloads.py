"""Tables of the page as CSV files inside it: numbers as they are in ``summary.json``, shares from 0 to 1."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clearsight.data.contract.text import csv_text
from clearsight.pipelines.report.figures import Entry, Figures, value, versus
from clearsight.pipelines.runs.summary import Comparison

VERSUS = ("difference", "difference_low", "difference_high", "p_corrected", "verdict")


@dataclass(frozen=True)
class Download:
    """One file that a link on the page holds.

    Attributes:
        name: of the file.
        rows: how many, without the head.
        source: a ``data:`` address.
    """

    name: str
    rows: int
    source: str


def downloads(figures: Figures) -> list[Download]:
    """Return the headline and every cell, each with all metrics and their intervals, as files."""
    metrics = list(dict.fromkeys(metric for cell in figures.cells for metric in cell.metrics))
    groups = [
        [name, column.group, column.attack, column.conditions, *_figures(entry, metrics)]
        for name in figures.names
        for column in figures.columns()
        if (entry := figures.entry(name, column))
    ]
    cells = [
        [cell.system, cell.condition, cell.attack, cell.n, *_figures(cell, metrics)] for cell in figures.cells
    ]
    named = [end for metric in metrics for end in (metric, f"{metric}_low", f"{metric}_high")]
    return [
        _file("headline.csv", ["system", "group", "attack", "conditions", *named, *VERSUS], groups),
        _file("cells.csv", ["system", "condition", "attack", "images", *named, *VERSUS], cells),
    ]


def _figures(entry: Entry, metrics: Iterable[str]) -> list[object]:
    row: list[object] = []
    for metric in metrics:
        estimate = value(entry, metric)
        row += [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
    gap = versus(entry)
    if gap is None:
        return [*row, *[None] * len(VERSUS)]
    p = gap.p_adjusted if isinstance(gap, Comparison) else None
    return [*row, gap.difference, gap.low, gap.high, p, gap.verdict]


def _file(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Download:
    encoded = base64.b64encode(csv_text([head, *rows]).encode()).decode("ascii")
    return Download(name, len(rows), f"data:text/csv;charset=utf-8;base64,{encoded}")
