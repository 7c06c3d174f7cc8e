"""Average precision by class, of a run whose systems find objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.tables import WIDE, Measure
from clearsight.pipelines.report.words import NONE, SYMBOLS, plain, point_span, points, quantity, span
from clearsight.pipelines.runs.detected import DetectedClass

METRIC = "ap50"
NOTE = (
    "below each value its interval, then the difference from the baseline on the same images; each interval"
    " holds for itself alone"
)


def by_class_measures(figures: Figures) -> list[Measure]:
    """Return a table a condition for the page: systems by classes."""
    return [
        Measure(f"AP50 by class, %, {plain(condition)}", NOTE, [_head(figures, each) for each in part], rows)
        for condition, classes in _places(figures)
        for start in range(0, len(classes), WIDE)
        for part in [classes[start : start + WIDE]]
        if (rows := [(name, _row(figures, name, part)) for name in figures.names])
    ]


def by_class_lines(figures: Figures) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield what stands before the table, the heading and the rows of a Markdown table for each condition."""
    for condition, classes in _places(figures):
        lead = f"AP50 by class, {plain(condition)}, in percent; the number of true boxes in brackets."
        if figures.others:
            lead += (
                f" After each interval the difference from {figures.baseline}; intervals are 95 % for each"
                " class alone."
            )
        rows = [
            [_head(figures, each), *(_text(_entry(figures, name, each)) for name in figures.names)]
            for each in classes
        ]
        yield f"{lead}\n\n", ["class", *figures.names], rows


def _places(figures: Figures) -> list[tuple[str, list[DetectedClass]]]:
    """Return the conditions with an entry a class."""
    places: dict[str, dict[int, DetectedClass]] = {}
    for each in figures.run.detected:
        places.setdefault(each.condition, {}).setdefault(each.label, each)
    return [(condition, list(classes.values())) for condition, classes in places.items()]


def _entry(figures: Figures, system: str, like: DetectedClass) -> DetectedClass | None:
    place = (system, like.condition, like.attack, like.label)
    return next(
        (e for e in figures.run.detected if (e.system, e.condition, e.attack, e.label) == place), None
    )


def _head(figures: Figures, each: DetectedClass) -> str:
    names = figures.run.data.classes
    name = names[each.label] if each.label < len(names) else str(each.label)
    return f"{name} ({each.boxes:,})"


def _row(figures: Figures, system: str, classes: Sequence[DetectedClass]) -> list[tuple[str, list[str], str]]:
    cells = []
    for each in classes:
        entry = _entry(figures, system, each)
        if entry is None:
            cells.append((NONE, list[str](), ""))
            continue
        below = [span(entry.ap50.low, entry.ap50.high, METRIC)]
        if entry.difference is not None:
            gap = entry.difference
            below.append(f"{_symbol(gap)} {points(gap.value)} ({point_span(gap.low, gap.high)})")
        cells.append((quantity(entry.ap50.value, METRIC, unit=False), below, ""))
    return cells


def _text(entry: DetectedClass | None) -> str:
    if entry is None:
        return NONE
    low, high = (quantity(end, METRIC, unit=False) for end in (entry.ap50.low, entry.ap50.high))
    text = f"{quantity(entry.ap50.value, METRIC, unit=False)} [{low}, {high}]"
    if gap := entry.difference:
        text += f" {_symbol(gap)} {100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    return text


def _symbol(gap: Estimate) -> str:
    return SYMBOLS["helps" if gap.low > 0 else "hurts" if gap.high < 0 else "unclear"]
