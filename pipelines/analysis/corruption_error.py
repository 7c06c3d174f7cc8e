"""Mean corruption error and relative mCE (Hendrycks & Dietterich 2019), with intervals over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clearsight.data.benchmark.sets import ALEXNET_ERRORS, ALEXNET_SOURCE, SETS
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import kind_of
from clearsight.data.statistics import percentiles, resampled_counts
from clearsight.pipelines.runs.columns import aligned
from clearsight.pipelines.runs.summary import Ratio

if TYPE_CHECKING:
    from clearsight.pipelines.runs.columns import RunColumns

IMAGENET_CLASSES = 1000
SMALLEST_RISE = 0.005
"""A baseline whose error rises by less cannot be divided by."""


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
    severities, 1000 classes), else by the errors of the baseline system on the same images.
    """
    mine = _errors(measured, system, names, attack)
    base = _errors(measured, measured.baseline, names, attack) if measured.baseline else None
    if mine is None:
        return CorruptionErrors(None, None)
    rng = Rng(measured.seed).at("summary", "mce", system, attack, *names)
    confidence = measured.confidence
    named = f"errors of system '{measured.baseline}' on the same images"
    if _is_imagenet_c(measured, mine.kinds, names):
        rows = np.array([[ALEXNET_ERRORS[kind]] for kind in mine.kinds])
        weights = np.repeat(rows, mine.mine.shape[1], axis=1)
        mce = _ratio(mine.mine, weights, rng, ALEXNET_SOURCE, 0.0, confidence)
    else:
        mce = _ratio(mine.mine, base.mine, rng, named, 0.0, confidence) if base else None
    relative = None
    if base and mine.clean is not None and base.clean is not None:
        n = min(mine.mine.shape[1], len(mine.clean))
        rises = mine.mine[:, :n] - mine.clean[:n], base.mine[:, :n] - base.clean[:n]
        relative = _ratio(*rises, rng.at("relative"), f"rise of {named}", SMALLEST_RISE, confidence)
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
            by_kind.setdefault(kind_of(corruption), []).append(1.0 - values)
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


def _ratio(
    over: NDArray[np.float64],
    under: NDArray[np.float64],
    rng: Rng,
    source: str,
    least: float,
    confidence: float,
) -> Ratio | None:
    """Return mean over types of (mean of ``over`` / mean of ``under``), with a bootstrap over images."""
    if (under.mean(1) <= least).any():
        return None
    ratios = []
    for counts in resampled_counts(np.ones(over.shape[1]), rng):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append((counts @ over.T / (counts @ under.T)).mean(1))
    values = np.concatenate(ratios)
    low, high = percentiles(values[np.isfinite(values)], confidence)
    value = float((over.mean(1) / under.mean(1)).mean())
    return Ratio(value, low, high, "bootstrap over images", source).rounded()
