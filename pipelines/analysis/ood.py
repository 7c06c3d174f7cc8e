"""Figures of how well scores of confidence tell the images of a run from images of something else."""

from __future__ import annotations

from collections.abc import Iterator

from clearsight.data.contract.rng import Rng
from clearsight.defend.uncertainty.separation import separation
from clearsight.defend.uncertainty.sureness import SURER
from clearsight.pipelines.runs.columns import Columns, RunColumns
from clearsight.pipelines.runs.grid import OodCell
from clearsight.pipelines.runs.ood import OodFigures
from clearsight.pipelines.systems.threats import is_attack


def ood_figures(measured: RunColumns, cell: OodCell, other: Columns) -> Iterator[OodFigures]:
    """Yield the figures of every score, for every condition without an attack.

    Args:
        measured: rows of the images of the run.
        cell: system and source.
        other: column -> one float an image of the source.
    """
    for system, condition, attack in measured.grid.triples:
        if system != cell.system or is_attack(measured.grid.attacks[attack]):
            continue
        rows = measured.columns[system, condition, attack]
        for score, sign in SURER.items():
            rng = Rng(measured.seed).at("summary", "ood", system, condition, cell.source, score)
            found = separation(sign * rows[score], sign * other[score], rng)
            yield OodFigures(
                system=system,
                condition=condition,
                source=cell.source,
                score=score,
                known=len(rows[score]),
                other=len(other[score]),
                auroc=found.auroc.rounded(),
                aupr_in=found.aupr_in.rounded(),
                aupr_out=found.aupr_out.rounded(),
                fpr95=found.fpr95.rounded(),
            )
