"""How the figures of a run are written: as the metrics declare it."""

from __future__ import annotations

from dataclasses import replace

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
    "auroc": Display(
        label="AUROC",
        unit="%",
        better="higher",
        scale=100.0,
        digits=1,
        meaning="probability that a known image is the surer one",
    ),
    "aupr_in": Display(
        label="AUPR in",
        unit="%",
        better="higher",
        scale=100.0,
        digits=1,
        meaning="average precision of finding the known images",
    ),
    "aupr_out": Display(
        label="AUPR out",
        unit="%",
        better="higher",
        scale=100.0,
        digits=1,
        meaning="average precision of finding the other images",
    ),
    "fpr95": Display(
        label="FPR at 95 % TPR",
        unit="%",
        better="lower",
        scale=100.0,
        digits=1,
        meaning="other images accepted with 95 % of the known ones",
    ),
}
"""Figures that are no metric of a cell."""


def display_of(figure: str) -> Display:
    """Return how a metric or another figure is displayed; by its name alone where it is not registered.

    What follows a colon is the variant of a metric, and stands in brackets behind its label.
    """
    if figure in FIGURES:
        return FIGURES[figure]
    kind, _, variant = figure.partition(":")
    known = METRICS.kinds.get(kind)
    shown = known.shown() if known else Display(label=kind.replace("_", " "))
    if not variant:
        return shown
    return replace(shown, label=f"{shown.label} ({variant.replace('_', ' ').replace(',', ', ')})")
