"""The answer in two sentences: which system helps most, and where one hurts most."""

from __future__ import annotations

from clearsight.pipelines.report.ending import images_of
from clearsight.pipelines.report.figures import Column, Figures, judged_by, versus
from clearsight.pipelines.report.findings import overall
from clearsight.pipelines.report.words import number, plain, quantity


def answer(figures: Figures) -> str:
    """Return what helps most and what hurts most, without attacks; nothing where nothing is compared."""
    attack = next((name for name in figures.attacks if name in figures.unattacked), None)
    first = best(figures)
    if attack is None or first is None:
        return ""
    column = overall(figures, attack)
    assert column is not None
    gap = versus(figures.entry(first, column))
    assert gap is not None
    start = f"On {images_of(figures.run)}, compared with ‘{figures.baseline}’, "
    where = "over all corruptions" if column.conditions > 1 else "under the one corruption"
    if gap.verdict == "helps":
        before, after = (_level(figures, name, column) for name in (figures.baseline, first))
        size = number(100 * gap.difference)
        text = f"‘{first}’ helps most: {size} points {where} ({before} to {after})."
    else:
        text = f"nothing clearly helps {where}."
    return f"{start}{text} {_harm(figures, attack)}"


def best(figures: Figures) -> str | None:
    """Return the system with the largest gain over all corruptions, without attacks; None where none is."""
    attack = next((name for name in figures.attacks if name in figures.unattacked), None)
    column = overall(figures, attack) if attack is not None else None
    if column is None:
        return None
    gaps = {name: gap for name in figures.others if (gap := versus(figures.entry(name, column)))}
    return max(gaps, key=lambda name: gaps[name].difference, default=None)


def _harm(figures: Figures, attack: str) -> str:
    """Return which system loses most, and where."""
    found = [
        (gap.difference, name, column)
        for name in figures.others
        for column in figures.columns()
        if column.attack == attack and (gap := versus(figures.entry(name, column))) and gap.verdict == "hurts"
    ]
    if not found:
        return "Nothing clearly hurts."
    size, name, column = min(found, key=lambda each: each[0])
    place = "on clean images" if column.group == "clean" else f"in {plain(column.group)}"
    others = len({other for _, other, _ in found} - {name})
    also = f" {others} more hurt{'s' if others == 1 else ''} somewhere." if others else ""
    return f"‘{name}’ hurts most: {number(abs(100 * size))} points {place}.{also}"


def _level(figures: Figures, name: str | None, column: Column) -> str:
    found = judged_by(figures.entry(name or "", column))
    return quantity(found.value if found else None, figures.primary or "accuracy")
