"""Paired comparisons of systems with the baseline on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import holm, mcnemar_exact, paired_bootstrap, significant
from clearsight.pipelines.runs.summary import CellFigures, Comparison, Verdict, WorstCase

Compared = TypeVar("Compared", CellFigures, WorstCase)
LEVEL = 0.05
"""Corrected p below which a difference is clear."""


def compare(mine: NDArray[np.float64], theirs: NDArray[np.float64], rng: Rng) -> Comparison:
    """Return the comparison of two systems, not yet corrected: see `corrected`.

    Args:
        mine: (n,) 1 where the system is right, 0 where it is wrong.
        theirs: the same of the baseline.
        rng: stream for resampling.
    """
    gained, lost = int(((mine == 1) & (theirs == 0)).sum()), int(((mine == 0) & (theirs == 1)).sum())
    low, high = paired_bootstrap(mine, theirs, rng)
    p = significant(mcnemar_exact(gained, lost))
    difference = significant((mine - theirs).mean())
    return Comparison(difference, significant(low), significant(high), "unclear", p, p, gained, lost)


def corrected(entries: Sequence[Compared]) -> list[Compared]:
    """Return the entries with Holm's correction over all their comparisons, and the verdicts that follow."""
    adjusted = iter(holm([entry.versus.p for entry in entries if entry.versus]))
    return [
        replace(entry, versus=_corrected(entry.versus, next(adjusted))) if entry.versus else entry
        for entry in entries
    ]


def _corrected(versus: Comparison, adjusted: float) -> Comparison:
    verdict = verdict_of(versus.difference, clear=adjusted < LEVEL)
    return replace(versus, p_adjusted=significant(adjusted), verdict=verdict)


def verdict_of(difference: float, *, clear: bool) -> Verdict:
    """Return whether a difference helps or hurts; ``unclear`` where it may be chance."""
    if not clear or difference == 0:
        return "unclear"
    return "helps" if difference > 0 else "hurts"
