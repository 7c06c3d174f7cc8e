"""``clearsight compare``: what changed between two runs on the same images, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.cli.results import results_file
from clearsight.pipelines.runs.across import Across, Line, Rule
from clearsight.pipelines.systems.threats import NONE


def command(
    first: Path,
    second: Path,
    *,
    pair: Sequence[str],
    fail_if: Sequence[str],
    every: bool,
    html: Path | None,
) -> bool:
    """Compare two runs, print the table, write the page; return whether every rule held."""
    rules = [Rule.parse(text) for text in fail_if]
    pairs = _pairs(pair)
    page = None if html is None else results_file(html, (*first.glob("*"), *second.glob("*")), "--html")
    from clearsight.pipelines.analysis.across import across
    from clearsight.pipelines.report.compare_page import write_comparison

    comparison = across(first, second, pairs=pairs)
    lines = shown(comparison, every=every)
    broken = [(rule, rule.broken_by(lines, comparison.equal)) for rule in rules]
    _print(comparison, lines)
    screen = console()
    for rule, breaking in broken:
        for line in breaking:
            by = f"{line.difference:+.{line.digits}f}"
            screen.print(f"broken: {rule.text}: {line.system}, {_place(line)}: {by}", markup=False)
        if not breaking:
            screen.print(f"holds: {rule.text}", markup=False)
    if page is not None:
        write_comparison(page, comparison, lines, [(rule.text, bool(breaking)) for rule, breaking in broken])
        screen.print(f"page: {page}", markup=False)
    return not any(breaking for _, breaking in broken)


def shown(comparison: Across, *, every: bool) -> list[Line]:
    """Return the lines that are shown and judged by rules: groups, clean and what has no group; or all."""
    if every:
        return comparison.lines
    grouped = {(line.system, line.attack, line.metric) for line in comparison.lines if not line.single}
    return [
        line
        for line in comparison.lines
        if not line.single or line.place == "clean" or (line.system, line.attack, line.metric) not in grouped
    ]


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        before, equals, after = text.partition("=")
        if not equals or not before or not after:
            raise ConfigError(f"'{text}' is not a pair", where="--pair", hint="write before=after")
        pairs[before] = after
    return pairs


def _place(line: Line) -> str:
    return line.place if line.attack == NONE else f"{line.place} under {line.attack}"


def _print(comparison: Across, lines: Sequence[Line]) -> None:
    from rich.table import Table

    from clearsight.pipelines.report.words import CHANGES, SYMBOLS

    screen = console()
    screen.print(
        f"{comparison.first} -> {comparison.second}, {comparison.images} images, paired", markup=False
    )
    for text in comparison.changed:
        screen.print(f"changed: {text}", markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("system", "metric", "where", "before", "after", "difference", "95 % interval"):
        table.add_column(heading, justify="left" if heading in ("system", "metric", "where") else "right")
    for line in lines:
        digits = line.digits
        table.add_row(
            line.system,
            line.metric,
            _place(line),
            f"{line.before:.{digits}f}",
            f"{line.after:.{digits}f}",
            f"{SYMBOLS[CHANGES[line.change]]} {line.difference:+.{digits}f}",
            f"{line.low:+.{digits}f} to {line.high:+.{digits}f}",
        )
    screen.print(table)
    for text in comparison.left_out:
        screen.print(f"left out: {text}", markup=False)
