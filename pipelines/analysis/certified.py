"""Certified accuracy, average radius and abstentions from the rows of certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import bootstrap_mean, significant, wilson
from clearsight.pipelines.runs.certified import CertifiedFigures, CertifiedShare, CertifiedStep, UpperBound
from clearsight.pipelines.runs.grid import CertifiedCell

STEPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Distances between the L2 radii of a table: multiples of 0.25 in the literature."""
MOST = 8
"""Radii that the step of an L2 table aims at, at most; beyond the largest step there are more."""
LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
"""Linf radii of a table, in levels of 255."""
CLEAN = "no attack"
"""What the upper bound at radius 0 is called: the smoothed system on the images as they are."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class CertifiedRows:
    """What a certificate found of a system under a condition.

    Attributes:
        columns: column -> one float an image; booleans as 0 and 1.
        upper: attack -> its radius, and for each of these images whether it was still right.
    """

    columns: Mapping[str, NDArray[np.float64]]
    upper: Mapping[str, tuple[float, NDArray[np.bool_]]]


def radii_of(norm: str, largest: float) -> list[float]:
    """Return the radii of a table whose certificates go up to ``largest``."""
    if norm == "linf":
        return [0.0, *(level / 255 for level in LEVELS if level / 255 <= largest + ROUNDING)]
    step = next((step for step in STEPS if largest / step < MOST), STEPS[-1])
    return [i * step for i in range(int(largest / step + ROUNDING) + 1)][: 4 * MOST]


def certified_figures(
    cell: CertifiedCell, found: CertifiedRows, radii: Sequence[float], rng: Rng
) -> CertifiedFigures:
    """Return the figures of one certified cell, without times.

    Args:
        cell: what was certified.
        found: its rows.
        radii: at which certified accuracy is reported.
        rng: stream of the interval of the mean radius.
    """
    columns = found.columns
    n = len(columns["label"])
    right = columns["prediction"] == columns["label"]
    radius = np.where(right, columns["radius"], 0.0)
    points = sorted({*radii, *(eps for eps, _ in found.upper.values())})
    shares = [_share(int((right & (radius >= r - ROUNDING)).sum()), n, r) for r in points]
    low, high = bootstrap_mean(radius, rng)
    samples = columns.get("samples")
    voted = columns["voted"] == columns["label"]
    return CertifiedFigures(
        key=cell.key,
        system=cell.system,
        condition=cell.condition,
        certificate=cell.certificate,
        n=n,
        shares=shares,
        average_radius=Estimate(float(radius.mean()), low, high, "bootstrap").rounded(),
        abstained=_proportion(int((columns["prediction"] < 0).sum()), n),
        steps=_steps(radius[right]),
        upper=[
            _upper(CLEAN, 0.0, voted, radius, right),
            *(_upper(name, eps, stands, radius, right) for name, (eps, stands) in found.upper.items()),
        ],
        samples=None if samples is None else float(samples.mean()),
    )


def _proportion(count: int, n: int) -> Estimate:
    return Estimate(count / n, *wilson(count, n), "wilson").rounded()


def _share(count: int, n: int, radius: float) -> CertifiedShare:
    return CertifiedShare(
        value=count / n,
        low=wilson(count, n)[0],
        high=wilson(count, n)[1],
        method="wilson",
        radius=significant(radius),
    ).rounded()


def _upper(
    name: str, eps: float, stands: NDArray[np.bool_], radius: NDArray[np.float64], right: NDArray[np.bool_]
) -> UpperBound:
    count, n = int(stands.sum()), len(stands)
    broken = right & (radius >= eps - ROUNDING) & ~stands
    low, high = wilson(count, n)
    return UpperBound(
        value=count / n,
        low=low,
        high=high,
        method="wilson",
        attack=name,
        radius=significant(eps),
        contradicted=int(broken.sum()),
    ).rounded()


def _steps(radii: NDArray[np.float64]) -> list[CertifiedStep]:
    """Return every radius above which certified accuracy falls, with the images certified at it."""
    values = np.unique(radii)
    return [CertifiedStep(significant(float(value), 6), int((radii >= value).sum())) for value in values]
