"""The headline, every corruption, condition and attack as Markdown tables, for a README or a results page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.attack_tables import worst_entries
from clearsight.pipelines.report.certified import CertifiedRow, certified_tables
from clearsight.pipelines.report.detected import by_class_lines
from clearsight.pipelines.report.figures import DETECTION, Entry, Figures, judged_by, value, versus
from clearsight.pipelines.report.method_table import BEST, MARKS, Cell, method_table
from clearsight.pipelines.report.other_images import other_images
from clearsight.pipelines.report.screened import screened_tables
from clearsight.pipelines.report.tables import Measure
from clearsight.pipelines.report.words import SYMBOLS, marked, quantity, radius
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.summary import Difference, GroupFigures


def markdown(summary: Mapping[str, Any], further: Sequence[str] = ()) -> str:
    """Return tables: systems x groups, corruptions x systems, conditions x systems, attacks x systems.

    A cell holds the accuracy (of detectors the AP50) in percent with its 95 % interval, and the difference
    from the baseline in points with its verdict; corruption errors follow, of detectors the AP50 by class.
    Figures under attack that a check speaks against are marked ``!`` (unreliable) or ``?`` (suspect), and a
    gain that proves nothing has a cross.

    The last table has the systems of a run with attacks side by side, with the cost of their training; the
    best of a column is bold with a full dot, what is not clearly worse than the best has an empty one.

    Certificates follow, a table each: certified accuracy in percent by radius, with its interval and, after
    ``≤``, what attacks of that radius left. Last come images of something else: how well scores of confidence
    tell them from those of the run.

    Args:
        summary: the contents of ``summary.json`` (schema 1).
        further: metrics beside the accuracy: a table each, conditions x systems, of unattacked images.

    Raises:
        ConfigError: a metric that was not measured.
        RunError: the summary has another schema.
    """
    figures = Figures(summary)
    for metric in further:
        if metric not in figures.run.metrics:
            hint = near_miss(metric, figures.run.metrics)
            raise ConfigError(f"'{metric}' was not measured", where="--metric", hint=hint)
    tables = _unattacked(figures) if set(figures.attacks) & figures.unattacked else []
    tables += [table for condition in figures.conditions if (table := _attacked(figures, condition))]
    tables += [lead + _table(head, rows) for lead, head, rows in by_class_lines(figures)]
    tables += [_further(figures, metric) for metric in further]
    tables += [table for table in [_worst(figures), _methods(figures)] if table]
    tables += _certified(figures)
    tables += [_measure(table) for table in (*other_images(figures), *screened_tables(figures))]
    return "\n".join(tables)


def _unattacked(figures: Figures) -> list[str]:
    names, conditions = figures.names, figures.conditions
    cells = [cell for cell in figures.cells if cell.attack in figures.unattacked]
    groups = [group for group in figures.run.aggregates if group.attack in figures.unattacked]
    kinds = [kind for kind in figures.run.kinds if kind.attack in figures.unattacked]
    clean = {cell.system: cell for cell in cells if conditions[cell.condition].clean}
    by_group = {(group.system, group.group): group for group in groups}
    by_kind = {(kind.system, kind.group): kind for kind in kinds}
    by_condition = {(cell.system, cell.condition): cell for cell in cells}
    group_names = list(dict.fromkeys(group.group for group in groups))
    kind_names = list(dict.fromkeys(kind.group for kind in kinds))
    first = [[n, _cell(clean.get(n)), *(_cell(by_group.get((n, g))) for g in group_names)] for n in names]
    second = [[kind, *(_cell(by_kind.get((name, kind))) for name in names)] for kind in kind_names]
    third = [[c, *(_cell(by_condition.get((name, c))) for name in names)] for c in conditions]
    # A photograph taken in fog is not clean, though nothing is done to it: its condition has a name.
    found = figures.primary == DETECTION
    lead = "AP50 (mean over classes), in percent.\n\n" if found else ""
    untouched = figures.clean or "clean" if found else "clean"
    tables = [lead + _table(["system", untouched, *group_names], first)]
    if second:
        tables.append(_table(["mean over severities", *names], second))
    whole = _table(["condition", *names], third)
    tables.append(f"<details><summary>Every condition</summary>\n\n{whole}\n</details>\n")
    return [*tables, *_ratios(figures, groups)]


def _further(figures: Figures, metric: str) -> str:
    """Return a metric of unattacked images: the groups that it is known of, then every condition."""
    form = display_of(metric)
    places: dict[str, dict[str, Entry]] = {}
    entries: list[Entry] = [*figures.run.aggregates, *figures.cells]
    for entry in entries:
        if entry.attack in figures.unattacked and value(entry, metric) is not None:
            place = f"{entry.group}, mean" if isinstance(entry, GroupFigures) else entry.condition
            places.setdefault(place, {})[entry.system] = entry
    rows = [
        [place, *(_estimate(found.get(name), metric) for name in figures.names)]
        for place, found in places.items()
    ]
    better = f"; {form.better} is better" if form.better else ""
    label = f"{form.label}, {form.unit}" if form.unit else form.label
    return f"{label}{better}:\n\n{_table(['condition', *figures.names], rows)}"


def _estimate(entry: Entry | None, metric: str) -> str:
    found = value(entry, metric)
    if found is None:
        return "–"
    low, high = (quantity(end, metric, unit=False) for end in (found.low, found.high))
    return f"{quantity(found.value, metric, unit=False)} [{low}, {high}]"


def _ratios(figures: Figures, groups: Sequence[GroupFigures]) -> list[str]:
    """Return the corruption errors, with what they were divided by."""
    source = "; ".join(dict.fromkeys(group.mce.source for group in groups if group.mce))
    rows = [
        [name, group.group, _ratio(group.mce), _ratio(group.relative_mce)]
        for name in figures.names
        for group in groups
        if group.system == name and group.mce
    ]
    if not rows:
        return []
    lead = (
        f"Mean corruption error (normalised by {source}) and relative mCE, in percent. mCE divides errors, "
        "relative mCE the rise of the error from the system's own clean images: read it beside the clean "
        "accuracy.\n\n"
    )
    return [lead + _table(["system", "group", "mCE", "relative mCE"], rows)]


def _ratio(estimate: Estimate | None) -> str:
    return (
        f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
        if estimate
        else "–"
    )


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
    for case in worst_entries(figures):
        ball = radius(case.norm, case.eps).replace("\u00a0", " ")
        place = (case.condition, ball, ", ".join(case.attacks))
        text = _written(case.accuracy, case.versus, "" if case.reliable else "unreliable")
        places.setdefault(place, {})[case.system] = text
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


def _certified(figures: Figures) -> list[str]:
    """Return a table for every certificate and condition."""
    tables = []
    for table in certified_tables(figures, draw=False):
        heads = [*table.radii, "mean radius", "abstains", "samples", "ms an image"]
        lead = f"Certified, {table.title}: {table.facts}; {table.images} images.\n\n"
        wrong = "".join(f"Contradicted: {line}.\n\n" for line in table.contradicted)
        text = _table(["certified, system", *heads], [_certified_row(row) for row in table.rows])
        tables.append((lead + wrong + text).replace("\u00a0", " "))
    return tables


def _certified_row(row: CertifiedRow) -> list[str]:
    bounds = [
        f"{bound.value} [{bound.interval.replace(' to ', ', ')}]"
        + (f" ≤ {bound.upper}" if bound.upper else "")
        for bound in row.bounds
    ]
    mean = f"{row.radius} [{row.radius_interval.replace(' to ', ', ')}]"
    return [row.system, *bounds, mean, row.abstained, row.samples or "–", row.milliseconds]


def _measure(table: Measure) -> str:
    """Return a table of systems by columns, with its note above."""
    rows = [
        [
            name,
            *(
                f"{value} [{', '.join(below).replace(' to ', ', ')}]" if below else value
                for value, below, _ in cells
            ),
        ]
        for name, cells in table.rows
    ]
    text = f"{table.label} ({table.note}):\n\n{_table(['system', *table.columns], rows)}"
    return text.replace("\u00a0", " ")


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    figure = marked(f"**{cell.value}**" if cell.mark == BEST else cell.value, cell.flag)
    text = f"{figure} [{cell.interval.replace(' to ', ', ')}]" if cell.interval else figure
    return " ".join(filter(None, [text, MARKS.get(cell.mark, ""), f"({cell.extra})" if cell.extra else ""]))


def _cost(costs: Sequence[str], machines: Sequence[str]) -> str:
    cost = "; ".join(costs) or "–"
    return f"{cost} ({'; '.join(machines)})" if machines else cost


def _cell(entry: Entry | None, flag: str = "") -> str:
    return _written(judged_by(entry), versus(entry), flag)


def _written(accuracy: Estimate | None, difference: Difference | None, flag: str) -> str:
    if accuracy is None:
        return "–"
    shown = marked(f"{100 * accuracy.value:.1f}", flag).replace("\u00a0", " ")
    text = f"{shown} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
    if difference:
        text += f" {SYMBOLS[difference.verdict]} {100 * difference.difference:+.1f}"
    return text


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
