"""The headline, every corruption, condition and attack as Markdown tables, for a README or a results page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearsight.pipelines.report.attack_tables import worst_entries
from clearsight.pipelines.report.figures import Figures, unchanged
from clearsight.pipelines.report.method_table import BEST, MARKS, Cell, method_table
from clearsight.pipelines.report.words import SYMBOLS, marked, radius


def markdown(summary: Mapping[str, Any]) -> str:
    """Return tables: systems x groups, corruptions x systems, conditions x systems, attacks x systems.

    A cell holds the accuracy in percent with its 95 % interval, and the difference from the baseline in
    points with its verdict. Figures under attack that a check speaks against are marked ``!`` (unreliable)
    or ``?`` (suspect), and a gain that proves nothing has a cross.

    The last table has the systems of a run with attacks side by side, with the cost of their training; the
    best of a column is bold with a full dot, what is not clearly worse than the best has an empty one.

    Args:
        summary: the contents of ``summary.json`` (schema 1).

    Raises:
        RunError: the summary has another schema.
    """
    figures = Figures(summary)
    tables = _unattacked(figures) if set(figures.attacks) & figures.unattacked else []
    tables += [table for condition in figures.conditions if (table := _attacked(figures, condition))]
    tables += [table for table in [_worst(figures), _methods(figures)] if table]
    return "\n".join(tables)


def _unattacked(figures: Figures) -> list[str]:
    summary, names = figures.summary, figures.names

    def plain(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [entry for entry in entries if entry["attack"] in figures.unattacked]

    cells = plain(figures.cells)
    clean = {c["system"]: c for c in cells if unchanged(figures.conditions[c["condition"]])}
    groups = list(dict.fromkeys(a["group"] for a in plain(summary["aggregates"])))
    found = {(a["system"], a["group"]): a for a in plain(summary["aggregates"])}
    kinds = list(dict.fromkeys(k["group"] for k in plain(summary["kinds"])))
    by_kind = {(k["system"], k["group"]): k for k in plain(summary["kinds"])}
    first = [[n, _cell(clean.get(n)), *(_cell(found.get((n, g))) for g in groups)] for n in names]
    second = [[kind, *(_cell(by_kind.get((name, kind))) for name in names)] for kind in kinds]
    each = {(c["system"], c["condition"]): c for c in cells}
    third = [[c["name"], *(_cell(each.get((n, c["name"]))) for n in names)] for c in summary["conditions"]]
    tables = [_table(["system", "clean", *groups], first)]
    if second:
        tables.append(_table(["mean over severities", *names], second))
    return [*tables, _table(["condition", *names], third)]


def _attacked(figures: Figures, condition: str) -> str:
    """Return the attacks on the images of one condition, a row an attack."""
    rows = []
    for attack in figures.attacked:
        cells = [figures.cell(name, condition, attack) for name in figures.names]
        if any(cells):
            facts = [figures.threat(attack) or "–", figures.ball(attack).replace("\u00a0", " ") or "–"]
            rows.append([attack, *facts, *(_cell(cell, figures.flag(cell)) for cell in cells)])
    return _table([f"attack, {condition}", "threat", "size", *figures.names], rows) if rows else ""


def _worst(figures: Figures) -> str:
    """Return the worst case over attacks, a row a condition and radius."""
    places: dict[tuple[str, ...], dict[str, str]] = {}
    for entry in worst_entries(figures):
        ball = radius(entry["norm"], entry["eps"]).replace("\u00a0", " ")
        place = (entry["condition"], ball, ", ".join(entry["attacks"]))
        shown = {"metrics": {"accuracy": entry["accuracy"]}, "versus": entry["versus"]}
        text = _cell(shown, "" if entry["reliable"] else "unreliable")
        places.setdefault(place, {})[entry["system"]] = text
    rows = [[*place, *(found.get(name, "–") for name in figures.names)] for place, found in places.items()]
    return _table(["worst case, condition", "size", "attacks", *figures.names], rows) if rows else ""


def _methods(figures: Figures) -> str:
    """Return the systems side by side."""
    table = method_table(figures)
    if table is None:
        return ""
    heads = [f"{head.label} ({head.note})" if head.note else head.label for head in table.heads]
    rows = [
        [row.system, *map(_marked, row.cells), ", ".join(row.methods) or "–", _cost(row.costs, row.machines)]
        for row in table.rows
    ]
    text = _table(["side by side", *heads, "trained by", "training cost"], rows)
    return text.replace("\u00a0", " ")


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    value = marked(f"**{cell.value}**" if cell.mark == BEST else cell.value, cell.flag)
    text = f"{value} [{cell.interval.replace(' to ', ', ')}]" if cell.interval else value
    return " ".join(filter(None, [text, MARKS.get(cell.mark, ""), f"({cell.extra})" if cell.extra else ""]))


def _cost(costs: Sequence[str], machines: Sequence[str]) -> str:
    told = "; ".join(costs) or "–"
    return f"{told} ({'; '.join(machines)})" if machines else told


def _cell(measured: Mapping[str, Any] | None, flag: str = "") -> str:
    figure = measured and measured["metrics"].get("accuracy")
    if not measured or not figure:
        return "–"
    value = marked(f"{100 * figure['value']:.1f}", flag).replace("\u00a0", " ")
    text = f"{value} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
    if versus := measured["versus"]:
        text += f" {SYMBOLS[versus['verdict']]} {100 * versus['difference']:+.1f}"
    return text


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
