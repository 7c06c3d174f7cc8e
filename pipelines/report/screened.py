"""Detectors of attacked images: a table a system with one."""

from __future__ import annotations

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.tables import Measure
from clearsight.pipelines.report.words import NONE, quantity, span
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.screened import ScreenedFigures

SHOWN = ("alarms", "screen_auroc", "caught", "evades")
"""Figures of a table, in order, as they are displayed."""
NOTE = (
    "Alarms: images above the suspicion that 5 % of the clean images exceed. AUROC: an image that the attack"
    " turned is more suspicious than a clean one. Caught: turned images that give an alarm. Evades: images of"
    " all that were turned and give none, what the attack achieves against classifier and detector together"
)


def screened_tables(figures: Figures) -> list[Measure]:
    """Return a table for each system with a detector: conditions and attacks by figure."""
    tables = []
    for system in dict.fromkeys(each.system for each in figures.run.screened):
        mine = [each for each in figures.run.screened if each.system == system]
        title = f"Detector of attacked images of {system}, threshold {mine[0].threshold:.4g}, %"
        heads = [display_of(name).label for name in SHOWN]
        tables.append(Measure(title, NOTE, heads, [_row(figures, each) for each in mine]))
    return tables


def _row(figures: Figures, each: ScreenedFigures) -> tuple[str, list[tuple[str, list[str], str]]]:
    name = figures.title(each.condition)
    if each.evades is not None:
        name = f"{name}, {each.attack} ({each.turned} turned)"
    values = (each.alarms, each.auroc, each.caught, each.evades)
    return name, [_cell(value, shown) for value, shown in zip(values, SHOWN, strict=True)]


def _cell(estimate: Estimate | None, shown: str) -> tuple[str, list[str], str]:
    if estimate is None:
        return NONE, [], ""
    return quantity(estimate.value, shown, unit=False), [span(estimate.low, estimate.high, shown)], ""
