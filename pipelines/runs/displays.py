"""How the figures of a run are written: as the metrics declare it."""

from __future__ import annotations

from clearsight.data.contract.column import Display
from clearsight.pipelines.config.registries import METRICS

FIGURES = {
    "mce": Display(
        label="mCE", unit="%", better="lower", scale=100.0, digits=1, meaning="mean corruption error"
    ),
    "relative_mce": Display(
        label="Relative mCE",
        unit="%",
        better="lower",
        scale=100.0,
        digits=1,
        meaning="mean corruption error against a system of this run",
    ),
}
"""Figures that are no metric of a cell."""


def display_of(figure: str) -> Display:
    """Return how a metric or another figure is written; by its name alone where nobody here knows it."""
    if figure in FIGURES:
        return FIGURES[figure]
    known = METRICS.kinds.get(figure)
    return known.shown() if known else Display(label=figure.replace("_", " "))
