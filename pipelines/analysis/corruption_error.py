"""Mean corruption error and relative mCE (Hendrycks & Dietterich 2019), with intervals over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clearsight.data.benchmark.sets import ALEXNET_ERRORS, ALEXNET_SOURCE, SETS
from clearsight.pipelines.runs.columns import aligned
from clearsight.pipelines.runs.summary import Ratio

if TYPE_CHECKING:
    from clearsight.pipelines.runs.columns import RunColumns

IMAGENET_CLASSES = 1000
SMALLEST_RISE = 0.005
"""Rise of a baseline's error up to which relative mCE is not defined."""


@dataclass(frozen=True)
class _Errors:
    """Error of each image, averaged over the severities of each type: (types, images)."""

    kinds: tuple[str, ...]
    mine: NDArray[np.float64]
    clean: NDArray[np.float64] | None


class CorruptionErrors(NamedTuple):
    """Mean corruption error and relative mCE, each None where it is not defined."""

    mce: Ratio | None
    relative_mce: Ratio | None


def corruption_errors(
    measured: RunColumns, system: str, names: Sequence[str], attack: str
) -> CorruptionErrors:
    """Return the corruption errors of a group of conditions.

    mCE is normalised by AlexNet's published errors where the group is the whole of ImageNet-C (15 types, 5
    severities, 1000 classes), else by the errors of the baseline system on the same images. Each is None
    where the baseline that it needs is missing or makes too few errors to divide by.
    """
    mine = _errors(measured, system, names, attack)
    base = _errors(measured, measured.baseline, names, attack) if measured.baseline else None
    if mine is None:
        return CorruptionErrors(None, None)
    confidence = measured.confidence
    named = f"errors of system '{measured.baseline}' on the same images"
    if _is_imagenet_c(measured, mine.kinds, names):
        rows = np.array([[ALEXNET_ERRORS[kind]] for kind in mine.kinds])
        weights = np.repeat(rows, mine.mine.shape[1], axis=1)
        mce = mean_ratio(mine.mine, weights, ALEXNET_SOURCE, 0.0, confidence)
    else:
        mce = mean_ratio(mine.mine, base.mine, named, 0.0, confidence) if base else None
    relative = None
    if base and mine.clean is not None and base.clean is not None:
        n = min(mine.mine.shape[1], len(mine.clean))
        rises = mine.mine[:, :n] - mine.clean[:n], base.mine[:, :n] - base.clean[:n]
        relative = mean_ratio(*rises, f"rise of {named}", SMALLEST_RISE, confidence)
    return CorruptionErrors(mce, relative)


def _errors(measured: RunColumns, system: str | None, names: Sequence[str], attack: str) -> _Errors | None:
    by_kind: dict[str, list[NDArray[np.float64]]] = {}
    found_of = {name: measured.columns.get((system or "", name, attack), {}).get("correct") for name in names}
    right = [values for values in found_of.values() if values is not None]
    if len(right) < len(names) or any(np.isnan(values).any() for values in right):
        return None
    for name, values in zip(names, aligned(right), strict=True):
        corruption = measured.grid.conditions[name].corruption
        if not corruption.clean:
            by_kind.setdefault(corruption.called, []).append(1.0 - values)
    if not by_kind:
        return None
    clean = next((n for n, c in measured.grid.conditions.items() if c.corruption.clean), None)
    found = measured.columns.get((system or "", clean or "", attack))
    return _Errors(
        tuple(by_kind),
        np.stack([np.mean(errors, axis=0) for errors in by_kind.values()]),
        None if found is None else 1.0 - found["correct"],
    )


def _is_imagenet_c(measured: RunColumns, kinds: Sequence[str], names: Sequence[str]) -> bool:
    levels = {
        (c.corruption.severity, c.corruption.table) for c in map(measured.grid.conditions.__getitem__, names)
    }
    wanted = {(level, "imagenet_c") for level in range(1, 6)}
    complete = set(kinds) == set(SETS["imagenet_c_15"]) and levels == wanted and len(names) == 75
    return complete and measured.classes == IMAGENET_CLASSES


def mean_ratio(
    over: NDArray[np.float64],
    under: NDArray[np.float64],
    source: str,
    least: float,
    confidence: float = 0.95,
) -> Ratio | None:
    """Return mean over types of (mean of ``over`` / mean of ``under``), with its interval.

    None where ``under`` cannot be divided by: a mean is ``least`` or less, or the interval is unbounded.

    Args:
        over: (types, images) errors of a system, or their rises.
        under: (types, images) those that they are divided by.
        source: what ``under`` is, in words.
        least: smallest mean that is divided by.
        confidence: of the interval.
    """
    if (under.mean(1) <= least).any():
        return None
    ratios = over.mean(1) / under.mean(1)
    value = float(ratios.mean())
    if np.array_equal(over, under):
        return Ratio(value, value, value, "by definition", source).rounded()
    ends = fieller(over, under, ratios, confidence)
    if ends is None:
        return None
    # Errors are no less than 0, rises may be.
    low = max(0.0, ends[0]) if over.min() >= 0 else ends[0]
    return Ratio(value, low, ends[1], "Fieller, over images", source).rounded()


def fieller(
    over: NDArray[np.float64],
    under: NDArray[np.float64],
    ratios: NDArray[np.float64],
    confidence: float,
) -> tuple[float, float] | None:
    """Return Fieller's interval (1954) of a mean of ratios whose numerators and denominators share images.

    It holds every ``mean(ratios) + d`` for which the mean of the images' ``r - d * w`` is not significantly
    different from 0: ``r`` is an image's part in the ratios' error, ``w`` that in the denominators. Variances
    are about 0, as in a score interval. One image more, which only ``over`` has and in one type alone, keeps
    few errors from looking certain.

    Returns:
        Lower and upper end; None where the denominators are not clearly above 0: the interval is unbounded.
    """
    types, images = over.shape
    below = under.mean(1, keepdims=True)
    r, w = ((over - ratios[:, None] * under) / below).mean(0), (under / below).mean(0)
    one_more = (np.mean(1.0 / below) / types) ** 2
    squared = _student(images - 1, confidence) ** 2
    first = w.sum() ** 2 - squared * (w @ w)
    if first <= 0:
        return None
    half = squared * (r @ w)
    root = np.sqrt(half**2 + first * squared * (r @ r + one_more))
    mean = float(ratios.mean())
    return mean + float((-half - root) / first), mean + float((-half + root) / first)


def _student(freedom: int, confidence: float) -> float:
    """Return Student's two-sided t quantile by Cornish and Fisher's series: at 95 % within 1 % from 5 on."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if freedom < 1:
        return float("inf")
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
