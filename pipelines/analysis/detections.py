"""Figures of detectors: average precision by class, over conditions, and compared with the baseline.

Average precision is no mean over images. Every interval comes from resamples of the images, the same ones for
all systems and conditions, so that what they have in common cancels in differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.estimate import Estimate
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import significant
from clearsight.defend.average_precision import over_classes
from clearsight.pipelines.analysis.paired import Place, verdict
from clearsight.pipelines.metrics.ap50 import AP50, matched
from clearsight.pipelines.metrics.resampled import ends, resamples
from clearsight.pipelines.runs.columns import CONFIDENCE, RunColumns, Triple
from clearsight.pipelines.runs.detected import DetectedClass
from clearsight.pipelines.runs.summary import Difference

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """A figure with what it is in every resample of the images.

    Attributes:
        value: of the images as they are.
        draws: (b,), nan where a resample has no true box.
    """

    value: float
    draws: Floats

    def __sub__(self, other: Resampled) -> Resampled:
        """Return the paired difference."""
        return Resampled(self.value - other.value, self.draws - other.draws)

    @property
    def interval(self) -> tuple[float, float]:
        """Return the percentile interval."""
        return ends(self.draws, CONFIDENCE)


@dataclass(frozen=True)
class _Cell:
    classes: tuple[int, ...]
    values: Floats
    draws: Floats

    @property
    def mean(self) -> Resampled:
        return Resampled(float(over_classes(self.values[None])[0]), over_classes(self.draws))


@dataclass(frozen=True)
class Detections:
    """The AP50 of every cell of a run that has detections, and what is made of it."""

    measured: RunColumns

    @cached_property
    def cells(self) -> dict[Triple, _Cell]:
        """Return the cells whose images all have detections and, in some, a true box."""
        found: dict[Triple, _Cell] = {}
        for triple, columns in self.measured.columns.items():
            scores = columns.get("found_scores")
            if scores is None or any(each is None for each in scores):
                continue
            together = matched(columns)
            if together.classes:
                rng = Rng(self.measured.seed).at("summary", "detections")
                draws = AP50().by_class(together, resamples(together.images, rng))
                values = AP50().by_class(together, together.once())[0]
                found[triple] = _Cell(together.classes, values, draws)
        return found

    def mean(self, system: str, names: Sequence[str], attack: str) -> Resampled | None:
        """Return the mean over conditions; None where a system lacks one of them."""
        parts = [self.cells.get((system, name, attack)) for name in names]
        there = [part.mean for part in parts if part is not None]
        if len(there) < len(parts):
            return None
        return Resampled(
            float(np.mean([each.value for each in there])), np.mean([each.draws for each in there], axis=0)
        )

    def estimate(self, system: str, names: Sequence[str], attack: str) -> Estimate | None:
        """Return the mean over conditions with its interval."""
        found = self.mean(system, names, attack)
        return Estimate(found.value, *found.interval, "bootstrap over images") if found else None

    def versus(self, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[Place, Difference]:
        """Compare every system with the baseline; all comparisons of a system hold jointly.

        Args:
            groups: ``group`` and ``kind`` -> name -> conditions that a mean is taken over.
        """
        compared: dict[Place, Difference] = {}
        systems = dict.fromkeys(triple[0] for triple in self.cells)
        for system in systems:
            if self.measured.baseline is not None and system != self.measured.baseline:
                family = dict(self._family(system, self.measured.baseline, groups))
                compared |= dict(zip(family, jointly(list(family.values())), strict=True))
        return compared

    def _family(
        self, system: str, baseline: str, groups: Mapping[str, Mapping[str, Sequence[str]]]
    ) -> Iterator[tuple[Place, Resampled]]:
        attacks = dict.fromkeys(triple[2] for triple in self.cells)
        singles = {name: [name] for name in dict.fromkeys(triple[1] for triple in self.cells)}
        for word, named in {"cell": singles, **groups}.items():
            for name, conditions in named.items():
                for attack in attacks:
                    mine, theirs = (self.mean(s, conditions, attack) for s in (system, baseline))
                    if mine is not None and theirs is not None:
                        yield (word, system, name, attack), mine - theirs

    def by_class(self) -> list[DetectedClass]:
        """Return the AP50 of each class in every cell, with its own difference from the baseline."""
        found = []
        for (system, condition, attack), cell in self.cells.items():
            base = self.cells.get((self.measured.baseline or "", condition, attack))
            base = None if system == self.measured.baseline else base
            labels = np.concatenate([*self.measured.columns[system, condition, attack]["true_labels"]])
            for k, label in enumerate(cell.classes):
                own = Resampled(float(cell.values[k]), cell.draws[:, k])
                gap = own - Resampled(float(base.values[k]), base.draws[:, k]) if base else None
                found.append(
                    DetectedClass(
                        system=system,
                        condition=condition,
                        attack=attack,
                        label=label,
                        boxes=int((labels == label).sum()),
                        ap50=Estimate(own.value, *own.interval, "bootstrap over images").rounded(),
                        difference=Estimate(gap.value, *gap.interval, "paired bootstrap").rounded()
                        if gap
                        else None,
                    )
                )
        return found


def jointly(differences: Sequence[Resampled], confidence: float = CONFIDENCE) -> list[Difference]:
    """Return differences with intervals that hold for all of them at once.

    Each is divided by its standard error over resamples. The largest absolute deviation of the family in a
    resample from what was measured gives the critical value (max-T, as in `clearsight.data.paired_family`,
    with resamples in place of random signs), so that the dependence between comparisons is taken from the
    data.

    Args:
        differences: with draws of the same resamples.
        confidence: probability that all true differences lie in their intervals.
    """
    if not differences:
        return []
    values = np.array([each.value for each in differences])
    draws = np.stack([each.draws for each in differences], 1)
    draws = draws[~np.isnan(draws).any(1)]
    error = draws.std(0) if len(draws) else np.zeros(len(values))
    scale = np.where(error > 0, error, np.inf)
    largest = (np.abs(draws - values) / scale).max(1) if len(draws) else np.zeros(0)
    critical = float(np.quantile(largest, confidence)) if len(draws) else np.inf
    found = []
    for value, own in zip(values.tolist(), error.tolist(), strict=True):
        reach = critical * own if own else 0.0
        low, high = significant(value - reach), significant(value + reach)
        reached = int((largest >= abs(value) / own).sum()) if own else len(largest)
        found.append(
            Difference(
                difference=significant(value),
                low=low,
                high=high,
                verdict=verdict(low, high),
                p_adjusted=significant((1 + reached) / (1 + len(largest))),
            )
        )
    return found
