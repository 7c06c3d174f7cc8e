"""The headline, every corruption and every condition as Markdown tables, for a README or a results page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SIGNS = {"helps": "▲", "hurts": "▼", "unclear": "○"}


def markdown(summary: Mapping[str, Any]) -> str:
    """Return three tables: systems x groups, corruptions x systems, and every condition x systems.

    A cell holds the accuracy in percent with its 95 % interval, and the difference from the baseline in
    points with its verdict.

    Args:
        summary: the contents of ``summary.json`` (schema 1).
    """
    names = [system["name"] for system in summary["systems"]]
    clean = {c["system"]: c for c in summary["cells"] if _severity(summary, c["condition"]) == 0}
    groups = list(dict.fromkeys(a["group"] for a in summary["aggregates"]))
    found = {(a["system"], a["group"]): a for a in summary["aggregates"]}
    kinds = list(dict.fromkeys(k["group"] for k in summary["kinds"]))
    by_kind = {(k["system"], k["group"]): k for k in summary["kinds"]}
    first = [[n, _cell(clean.get(n)), *(_cell(found.get((n, g))) for g in groups)] for n in names]
    second = [[kind, *(_cell(by_kind.get((name, kind))) for name in names)] for kind in kinds]
    tables = [_table(["system", "clean", *groups], first)]
    if second:
        tables.append(_table(["mean over severities", *names], second))
    each = {(c["system"], c["condition"]): c for c in summary["cells"]}
    third = [[c["name"], *(_cell(each.get((n, c["name"]))) for n in names)] for c in summary["conditions"]]
    tables.append(_table(["condition", *names], third))
    return "\n".join(tables)


def _severity(summary: Mapping[str, Any], condition: str) -> int:
    return next(int(c["severity"]) for c in summary["conditions"] if c["name"] == condition)


def _cell(measured: Mapping[str, Any] | None) -> str:
    figure = measured and measured["metrics"].get("accuracy")
    if not measured or not figure:
        return "–"
    text = f"{100 * figure['value']:.1f} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
    if versus := measured["versus"]:
        text += f" {SIGNS[versus['verdict']]} {100 * versus['difference']:+.1f}"
    return text


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
