"""Images of something else: how well each score of each system tells them from those of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.tables import Measure
from clearsight.pipelines.report.words import NONE, quantity, span
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.ood import OodFigures

SHARES = ("auroc", "aupr_in", "aupr_out", "fpr95")
"""Figures of a table, in order: those of `clearsight.pipelines.runs.ood.OodFigures`."""
NOTE = (
    "AUROC: a known image is the surer one; AUPR: average precision of finding the known (in) or the other"
    " images (out); FPR: others that are accepted with 95 % of the known ones; higher is better but for FPR"
)


def other_images(figures: Figures) -> list[Measure]:
    """Return, for each source, a table of all scores on clean images, and AUROC by condition and score."""
    tables: list[Measure] = []
    for source in figures.run.others:
        mine = [each for each in figures.run.ood if each.source == source.name]
        conditions = [name for name in figures.conditions if any(each.condition == name for each in mine)]
        if not conditions:
            continue
        first = figures.clean if figures.clean in conditions else conditions[0]
        title = f"{source.images:,} images of {source.name} against those of the run, {figures.title(first)}"
        rows = [_row(each) for each in mine if each.condition == first]
        tables.append(Measure(f"{title}, %", NOTE, [display_of(share).label for share in SHARES], rows))
        if len(conditions) > 1:
            tables += _by_condition(figures, source.name, mine, conditions)
    return tables


def _row(each: OodFigures) -> tuple[str, list[tuple[str, list[str], str]]]:
    estimates: Sequence[tuple[str, Estimate]] = [(share, getattr(each, share)) for share in SHARES]
    name = f"{each.system}, {each.score.replace('_', ' ')}"
    return name, [_cell(estimate, share) for share, estimate in estimates]


def _by_condition(
    figures: Figures, source: str, mine: Sequence[OodFigures], conditions: Sequence[str]
) -> Iterator[Measure]:
    for score in dict.fromkeys(each.score for each in mine):
        cells = {(o.system, o.condition): _cell(o.auroc, "auroc") for o in mine if o.score == score}
        systems = [name for name in figures.names if any((name, c) in cells for c in conditions)]
        rows = [(name, [cells.get((name, c), (NONE, [], "")) for c in conditions]) for name in systems]
        title = f"AUROC of {score.replace('_', ' ')} against {source}, %"
        yield Measure(title, display_of("auroc").note, [figures.title(c) for c in conditions], rows)


def _cell(estimate: Estimate, share: str) -> tuple[str, list[str], str]:
    return (
        quantity(estimate.value, share, unit=False),
        [span(estimate.low, estimate.high, share)],
        "",
    )
