"""Figures of detectors of attacked images: ROC, false alarms, and what evades classifier and detector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.estimate import Estimate
from clearsight.defend.uncertainty.separation import auroc, auroc_interval
from clearsight.pipelines.metrics.base import share
from clearsight.pipelines.runs.columns import Columns, RunColumns
from clearsight.pipelines.runs.screened import FALSE_ALARMS, ScreenedFigures
from clearsight.pipelines.systems.threats import is_attack

COLUMN = "suspicion"


def screened_figures(measured: RunColumns) -> list[ScreenedFigures]:
    """Return the figures of every system with a detector, for every condition and attack.

    Clean images are those of the system's first cell without an attack; without one there are no figures.
    """
    grid = measured.grid
    found: list[ScreenedFigures] = []
    for system in dict.fromkeys(name for name, _, _ in grid.triples):
        places = [place for place in grid.triples if place[0] == system]
        bare = [place for place in places if not is_attack(grid.attacks[place[2]])]
        bare.sort(key=lambda place: not grid.conditions[place[1]].corruption.clean)
        clean = _suspicion(measured.columns[bare[0]]) if bare else None
        if clean is not None:
            limit = float(np.quantile(clean, 1.0 - FALSE_ALARMS, method="higher"))
            found += _of_system(measured, places, clean, limit)
    return found


def _of_system(
    measured: RunColumns, places: list[tuple[str, str, str]], clean: NDArray[np.float64], limit: float
) -> Iterator[ScreenedFigures]:
    for system, condition, attack in places:
        columns = measured.columns[system, condition, attack]
        said = _suspicion(columns)
        if said is None:
            continue
        alarms = share(said > limit).rounded()
        threshold = float(f"{limit:.6g}")
        if not is_attack(measured.grid.attacks[attack]):
            yield ScreenedFigures(system, condition, attack, threshold, alarms)
            continue
        turned = _turned(measured, system, condition, columns)
        hit = said[turned]
        area = None
        if len(hit) > 1:
            value = auroc(hit, clean)
            area = Estimate(
                value, *auroc_interval(value, len(hit), len(clean)), "hanley-mcneil score"
            ).rounded()
        yield ScreenedFigures(
            system,
            condition,
            attack,
            threshold,
            alarms,
            int(turned.sum()),
            area,
            share(hit > limit).rounded() if len(hit) else None,
            share(turned & (said <= limit)).rounded(),
        )


def _suspicion(columns: Columns) -> NDArray[np.float64] | None:
    values = columns.get(COLUMN)
    return None if values is None or np.isnan(values).any() or not len(values) else values


def _turned(measured: RunColumns, system: str, condition: str, columns: Columns) -> NDArray[np.bool_]:
    """Return which images are wrong, and were right without the attack where that was measured."""
    wrong = columns["prediction"] != columns["label"]
    for (name, under, attack), before in measured.columns.items():
        if (name, under) == (system, condition) and not is_attack(measured.grid.attacks[attack]):
            n = min(len(wrong), len(before["label"]))
            right = before["prediction"][:n] == before["label"][:n]
            wrong = wrong & np.concatenate([right, np.ones(len(wrong) - n, np.bool_)])
    return np.asarray(wrong, np.bool_)
