"""The headline table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.report.figures import Figures
from pipelines.report.tables import Box
from pipelines.report.tables import headline as blocks
from pipelines.report.words import style

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

COLOURS = {"helps": "bold blue", "hurts": "bold yellow", "unclear": "dim"}


def headline(summary: Mapping[str, Any]) -> Table:
    """Return the systems with their accuracy, its interval and the difference from the baseline.

    Args:
        summary: the contents of ``summary.json`` (schema 1).

    Raises:
        RunError: the summary has another schema.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    figures = Figures(summary)
    parts = blocks(figures)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.title = Text(str(summary.get("title") or summary["name"]))
    table.caption = Text(_caption(figures))
    table.add_column("system", overflow="fold")
    for column in (column for part in parts for column in part.columns):
        table.add_column(Text(column.label), justify="right", overflow="fold")
    for index, name in enumerate(figures.names):
        boxes = [cell for part in parts for cell in part.rows[index][1]]
        table.add_row(Text(name), *(_text(cell) for cell in boxes), end_section=False)
    return table


def _caption(figures: Figures) -> str:
    levels = f"{style(figures.primary or 'accuracy').label}, {figures.confidence} intervals".replace(
        "\u00a0", " "
    )
    return f"{levels}; differences in points from '{figures.baseline}'" if figures.others else levels


def _text(cell: Box | None) -> Text:
    """Return a cell: the value, its interval, and the difference with its verdict, on three lines."""
    from rich.text import Text

    if cell is None:
        return Text("–", style="dim")
    text = Text(cell.value.replace("\u00a0", " "), style="bold")
    if cell.interval:
        text.append(f"\n{cell.interval}", style="dim not bold")
    if cell.gap:
        text.append(
            f"\n{cell.gap.symbol} {cell.gap.text} {cell.gap.verdict}",
            style=f"not bold {COLOURS[cell.gap.verdict]}",
        )
    return text
