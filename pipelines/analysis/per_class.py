"""Accuracy of each class on clean images, without and under attack: which class pays for robustness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import wilson
from clearsight.pipelines.analysis.scenarios import Numbers, Scenario, clean_condition, scenarios
from clearsight.pipelines.runs.columns import RunColumns
from clearsight.pipelines.runs.summary import ClassFigures, PerClass

MOST_CLASSES = 100
"""Classes up to which the summary lists each one."""
RESAMPLES = 2000
DIGITS = 4


def per_class(measured: RunColumns) -> PerClass | None:
    """Return ``per_class`` of the summary: accuracy by true class on the clean condition.

    Robust networks are less even than plain ones: some classes lose far more than others (accuracy
    disparity; Xu et al. 2021, "To be Robust or to be Fair"). There is an entry for every attack (``none``
    included) and for every union of attacks of one radius, where an image is right only if no attack broke
    it. An entry holds

    - ``value``, ``low``, ``high``: one number a class, with Wilson intervals; None where it has no images;
    - ``worst``, ``best``: the classes with the lowest and highest accuracy, the first of equals;
    - ``spread``: best minus worst;
    - ``by_chance``: the spread that 95 % of runs would stay below if all classes were equally hard. The
      extremes of few images lie apart by chance alone.

    None where there is no clean condition, nothing was classified, or there are more than `MOST_CLASSES`
    classes.
    """
    clean = clean_condition(measured)
    here = [triple for triple in measured.grid.triples if triple[1] == clean]
    labels = next((found for t in here if (found := _labels(measured, t)) is not None), None)
    if labels is None:
        return None
    counts = np.bincount(labels[labels >= 0])
    if len(counts) > MOST_CLASSES:
        return None
    entries = [
        _entry(measured, system, scenario, right, labels, counts)
        for scenario in scenarios(measured)
        for system, right in scenario.right.items()
    ]
    kept = [entry for entry in entries if entry]
    return PerClass(clean, counts.tolist(), kept) if kept and clean else None


def _labels(measured: RunColumns, triple: tuple[str, str, str]) -> NDArray[np.int64] | None:
    """Return the true classes (n,), -1 where one is not known; None where none is, or nothing was judged."""
    columns = measured.columns[triple]
    column = columns.get("label")
    if column is None or np.isnan(column).all() or np.isnan(columns["correct"]).all():
        return None
    return np.where(np.isnan(column), -1, column).astype(np.int64)


def _entry(
    measured: RunColumns,
    system: str,
    scenario: Scenario,
    right: Numbers,
    labels: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> ClassFigures | None:
    if np.isnan(right[labels >= 0]).any():
        return None
    known = labels >= 0
    hits = np.bincount(labels[known], weights=right[known], minlength=len(counts))
    there = counts > 0
    share = np.divide(hits, counts, out=np.full(len(counts), np.nan), where=there)
    ends = [
        wilson(round(k), int(n), measured.confidence) if n else (None, None)
        for k, n in zip(hits, counts, strict=True)
    ]
    worst, best = int(np.nanargmin(share)), int(np.nanargmax(share))
    place = (system, scenario.attack or "worst", scenario.norm or "", str(scenario.eps))
    rng = Rng(measured.seed).at("summary", "per_class", *place)
    return ClassFigures(
        system=system,
        attack=scenario.attack,
        norm=scenario.norm,
        eps=scenario.eps,
        attacks=list(scenario.attacks),
        value=[_rounded(p) if n else None for p, n in zip(share, counts, strict=True)],
        low=[None if low is None else _rounded(low) for low, _ in ends],
        high=[None if high is None else _rounded(high) for _, high in ends],
        worst=worst,
        best=best,
        spread=_rounded(share[best] - share[worst]),
        by_chance=_rounded(_by_chance(float(hits.sum() / counts.sum()), counts[there], rng)),
    )


def _by_chance(level: float, counts: NDArray[np.int64], rng: Rng) -> float:
    """Return the 95 % quantile of the spread of classes that all have this accuracy."""
    drawn = rng.numpy().binomial(counts, level, (RESAMPLES, len(counts))) / counts
    return float(np.quantile(np.ptp(drawn, axis=1), 0.95))


def _rounded(value: float) -> float:
    # Four digits are a hundredth of a point; a hundred classes times all attacks would fill the summary.
    return round(float(value), DIGITS)
