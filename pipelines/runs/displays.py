"""How the figures of a run are written: as the metrics declare it."""

from __future__ import annotations

from dataclasses import replace

from clearsight.data.contract.column import Display, percent
from clearsight.pipelines.config.registries import METRICS

FIGURES = {
    "mce": percent("mCE", "mean corruption error: errors divided by those of a reference", better="lower"),
    "relative_mce": percent(
        "Relative mCE",
        "rise of the error from the system's own clean images, divided by that of the baseline: a "
        "system that is worse everywhere may rise less, so read it beside mCE and the clean accuracy",
        better="lower",
    ),
    "auroc": percent("AUROC", "probability that a known image is the surer one"),
    "aupr_in": percent("AUPR in", "average precision of finding the known images"),
    "aupr_out": percent("AUPR out", "average precision of finding the other images"),
    "fpr95": percent("FPR at 95 % TPR", "other images accepted with 95 % of the known ones", better="lower"),
    "alarms": percent("Alarms", "images above the detector's threshold", better="lower"),
    "screen_auroc": percent("AUROC", "probability that a turned image is more suspicious than a clean one"),
    "caught": percent("Caught", "images that the attack turned and the detector saw"),
    "evades": percent("Evades", "images that were turned and give no alarm", better="lower"),
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
