"""Paired comparisons of systems with the baseline on the same images: one family a system, one rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.rng import Rng
from clearsight.data.paired_family import judge
from clearsight.data.statistics import mcnemar_exact, significant
from clearsight.pipelines.analysis.worst_case import survivors, unions
from clearsight.pipelines.runs.columns import Columns, RunColumns, Triple, aligned
from clearsight.pipelines.runs.summary import Comparison, Difference, Verdict

Numbers = NDArray[np.float64]
Place = tuple[str, ...]
"""What is compared: ``cell``, ``worst``, ``group`` or ``kind``, then where."""


@dataclass(frozen=True)
class Versus:
    """The verdicts of a run.

    Attributes:
        single: comparisons of right with wrong: cells and worst cases.
        means: comparisons of other figures: means over conditions, average precisions.
    """

    single: Mapping[Place, Comparison]
    means: Mapping[Place, Difference]

    def __len__(self) -> int:
        """Return how many comparisons were made."""
        return len(self.single) + len(self.means)


def versus(
    measured: RunColumns,
    groups: Mapping[str, Sequence[str]],
    kinds: Mapping[str, Sequence[str]],
) -> Versus:
    """Compare every system with the baseline: cells, worst cases over attacks, means over conditions.

    All comparisons of a system are one family: ``helps`` and ``hurts`` mean that the interval excludes 0,
    and where the system is as good as the baseline everywhere, the probability that this happens
    even once is 5 %. Other systems of the run change nothing.

    Args:
        measured: the rows.
        groups: name -> conditions that a mean is taken over.
        kinds: corruption -> its severities.
    """
    single: dict[Place, Comparison] = {}
    means: dict[Place, Difference] = {}
    for system in dict.fromkeys(triple[0] for triple in measured.grid.triples):
        if measured.baseline is None or system == measured.baseline:
            continue
        family = dict(_family(measured, system, measured.baseline, groups, kinds))
        rng = Rng(measured.seed).at("summary", "versus", system)
        differences = [mine - theirs for mine, theirs in family.values()]
        judged = judge(differences, rng, confidence=measured.confidence, prefixes=measured.looks > 1)
        for (place, pair), found in zip(family.items(), judged, strict=True):
            low, high = significant(found.low), significant(found.high)
            difference = Difference(
                difference=significant(found.difference),
                low=low,
                high=high,
                verdict=verdict(low, high),
                p_adjusted=significant(min(1.0, measured.looks * found.p)),
            )
            if place[0] in ("group", "kind"):
                means[place] = difference
            else:
                single[place] = _counted(difference, *pair, looks=measured.looks)
    return Versus(single, means)


def per_image(
    cells: Mapping[Triple, Columns], system: str, names: Sequence[str], attack: str, column: str
) -> Numbers | None:
    """Return the mean over conditions (n,) for each image that all of them have.

    None where a cell or one of the values is missing.
    """
    values = [cells.get((system, name, attack), {}).get(column) for name in names]
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        return None
    stack = np.stack(aligned(present))
    return None if np.isnan(stack).any() else stack.mean(0)


def _family(
    measured: RunColumns,
    system: str,
    baseline: str,
    groups: Mapping[str, Sequence[str]],
    kinds: Mapping[str, Sequence[str]],
) -> Iterator[tuple[Place, tuple[Numbers, Numbers]]]:
    """Yield what is compared, with the right answers of the system and of the baseline (n,)."""
    cells = measured.columns

    def pair(
        place: Place, mine: Numbers | None, theirs: Numbers | None
    ) -> Iterator[tuple[Place, tuple[Numbers, Numbers]]]:
        if mine is not None and theirs is not None:
            yield place, (mine, theirs)

    for triple in measured.grid.triples:
        if triple[0] == system:
            _, condition, attack = triple
            both = (per_image(cells, name, [condition], attack, "correct") for name in (system, baseline))
            yield from pair(("cell", *triple), *both)
    for union in unions(measured):
        if union.system == system:
            both = (survivors(measured.columns, union, system=name) for name in (system, baseline))
            yield from pair(union.place, *both)
    for word, named in (("group", groups), ("kind", kinds)):
        for name, conditions in named.items():
            for attack in measured.grid.attacks:
                both = (per_image(cells, s, conditions, attack, "correct") for s in (system, baseline))
                yield from pair((word, system, name, attack), *both)


def _counted(difference: Difference, mine: Numbers, theirs: Numbers, *, looks: int) -> Comparison:
    gained, lost = int(((mine == 1) & (theirs == 0)).sum()), int(((mine == 0) & (theirs == 1)).sum())
    p = significant(min(1.0, looks * mcnemar_exact(gained, lost)))
    return Comparison(**asdict(difference), p=p, gained=gained, lost=lost)


def verdict(low: float, high: float) -> Verdict:
    """Return whether a difference helps or hurts; ``unclear`` where it may be chance."""
    return "helps" if low > 0 else "hurts" if high < 0 else "unclear"
