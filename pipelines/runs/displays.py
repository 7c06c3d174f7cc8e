"""How the figures of a run are written: as the metrics declare it."""

from __future__ import annotations

from clearsight.data.contract.column import Display
from clearsight.pipelines.config.registries import METRICS

FIGURES = {
    "mce": Display(
        label="mCE",
        unit="%",
        better="lower",
        scale=100.0,
        digits=1,
        meaning="mean corruption error: errors divided by those of a reference",
    ),
    "relative_mce": Display(
        label="Relative mCE",
        unit="%",
        better="lower",
        scale=100.0,
        digits=1,
        meaning="rise of the error from the system's own clean images, divided by that of the baseline: a "
        "system that is worse everywhere may rise less, so read it beside mCE and the clean accuracy",
    ),
}
"""Figures that are no metric of a cell."""


def display_of(figure: str) -> Display:
    """Return how a metric or another figure is displayed; by its name alone where it is not registered."""
    if figure in FIGURES:
        return FIGURES[figure]
    known = METRICS.kinds.get(figure)
    return known.shown() if known else Display(label=figure.replace("_", " "))
