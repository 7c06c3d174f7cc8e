"""Error against the share of answers that are given, where a run asks what abstaining is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from clearsight.defend.uncertainty.risk_coverage import selective_accuracy
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.metrics.selective_base import Selective
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.risk_coverage import COVERAGES, RiskCurve
from clearsight.pipelines.systems.threats import is_attack


def risk_curves(measured: RunColumns, metrics: Sequence[Metric]) -> list[RiskCurve]:
    """Return a curve for every system and condition without an attack.

    Only runs with a metric of selective prediction (``aurc``, ``excess_aurc``, ``selective_accuracy``) have
    them; a cell without labels, or of images, has none.
    """
    if not any(isinstance(metric, Selective) for metric in metrics):
        return []
    curves = []
    for system, condition, attack in measured.grid.triples:
        columns = measured.columns[system, condition, attack]
        sure, right = columns.get("confidence"), columns.get("correct")
        if is_attack(measured.grid.attacks[attack]) or sure is None or right is None:
            continue
        if np.isnan(sure).any() or np.isnan(right).any():
            continue
        found = [selective_accuracy(sure, 1.0 - right, coverage) for coverage in COVERAGES]
        risks = [
            replace(each, value=1.0 - each.value, low=1.0 - each.high, high=1.0 - each.low).rounded()
            for each in found
        ]
        curves.append(RiskCurve(system, condition, attack, COVERAGES, tuple(risks)))
    return curves
