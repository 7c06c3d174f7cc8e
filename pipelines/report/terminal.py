"""The headline table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clearsight.pipelines.report.attack_tables import worst
from clearsight.pipelines.report.certified import certified_tables
from clearsight.pipelines.report.ending import images_of
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.tables import Box
from clearsight.pipelines.report.tables import headline as blocks
from clearsight.pipelines.report.words import FLAGS, marked
from clearsight.pipelines.runs.displays import display_of

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

COLOURS = {"helps": "bold blue", "hurts": "bold yellow", "unclear": "dim", "void": "dim"}
WORTH_A_ROW = 5
"""Columns from which a table with attacks is transposed, so that it fits a terminal."""


def headline(summary: Mapping[str, Any]) -> Table:
    """Return the systems with their accuracy, its interval and the difference from the baseline.

    A run with several attacks has a row for each attack and a column for each system, and the worst case
    over the attacks below.

    Args:
        summary: the contents of ``summary.json`` (schema 1).

    Raises:
        RunError: the summary has another schema.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    figures = Figures(summary)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.title = Text(figures.run.title or figures.run.name)
    table.caption = Text(_caption(figures))
    labels, boxes = _matrix(figures)
    if figures.attacked and len(labels) >= WORTH_A_ROW:
        _fill(table, "under", figures.names, list(zip(labels, boxes, strict=True)))
        for label, row in _worst(figures):
            table.add_row(Text(label), *(_text(cell) for cell in row))
    else:
        turned = [[row[index] for row in boxes] for index in range(len(figures.names))]
        _fill(table, "system", labels, list(zip(figures.names, turned, strict=True)))
    return table


def certificates(summary: Mapping[str, Any]) -> list[Table]:
    """Return a table for every certificate of a run: certified accuracy by radius, with its upper bound."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    tables = []
    for found in certified_tables(Figures(summary), draw=False):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
        table.title = Text(f"certified: {found.title}")
        words = "certified accuracy in %, below it what attacks of that radius left; lower and upper bound"
        table.caption = Text(". ".join([f"{words}; {found.facts}", *found.contradicted]))
        table.add_column("system", overflow="fold")
        for head in (*found.radii, "mean radius", "abstains"):
            table.add_column(Text(head), justify="right", overflow="fold")
        for row in found.rows:
            bounds = [Text(f"{b.value}\n{f'≤ {b.upper}' if b.upper else ''}") for b in row.bounds]
            table.add_row(Text(row.system), *bounds, Text(row.radius), Text(row.abstained))
        tables.append(table)
    return tables


def _matrix(figures: Figures) -> tuple[list[str], list[list[Box | None]]]:
    """Return the label of every column of the page's table, and its cells by system."""
    labels, boxes = [], []
    for block in blocks(figures):
        for index, column in enumerate(block.columns):
            ball = figures.ball(column.attack)
            labels.append(f"{column.label}, {ball}" if ball else column.label)
            boxes.append([cells[index] for _, cells in block.rows])
    return [label.replace("\u00a0", " ") for label in labels], boxes


def _fill(table: Table, corner: str, heads: list[str], rows: list[tuple[str, list[Box | None]]]) -> None:
    from rich.text import Text

    table.add_column(corner, overflow="fold")
    for head in heads:
        table.add_column(Text(head), justify="right", overflow="fold")
    for name, cells in rows:
        table.add_row(Text(name), *(_text(cell) for cell in cells))


def _worst(figures: Figures) -> list[tuple[str, list[Box | None]]]:
    """Return a row for each worst case over attacks."""
    places: dict[str, dict[str, Box]] = {}
    for entry in worst(figures):
        label = f"worst of {len(entry.attacks)}, {entry.place}".replace("\u00a0", " ")
        cell = Box(entry.level.value, entry.level.interval, entry.gap, entry.level.flag)
        places.setdefault(label, {})[entry.system] = cell
    return [(label, [found.get(name) for name in figures.names]) for label, found in places.items()]


def _caption(figures: Figures) -> str:
    levels = f"{display_of(figures.primary or 'accuracy').label}, {figures.confidence} intervals".replace(
        "\u00a0", " "
    )
    text = f"{levels}; differences in points from '{figures.baseline}'" if figures.others else levels
    found = {figures.flag(cell) for cell in figures.cells} - {""}
    notes = [f"{FLAGS[flag]} {flag}" for flag in FLAGS if flag in found]
    told = f"{text}; {', '.join(notes)}: report.html says why" if notes else text
    said = figures.run.stop is None and not figures.run.data.synthetic
    return told if said else f"{told}; {images_of(figures.run)}"


def _text(cell: Box | None) -> Text:
    """Return a cell: the value, its interval, the difference with its verdict, a published mCE, by line."""
    from rich.text import Text

    if cell is None:
        return Text("–", style="dim")
    text = Text(marked(cell.value, cell.flag).replace("\u00a0", " "), style="bold")
    if cell.interval:
        text.append(f"\n{cell.interval}", style="dim not bold")
    if cell.gap:
        text.append(
            f"\n{cell.gap.symbol} {cell.gap.text} {cell.gap.word}",
            style=f"not bold {COLOURS[cell.gap.verdict]}",
        )
    if cell.beside:
        text.append(f"\n{cell.beside}".replace("\u00a0", " "), style="not bold")
    return text
