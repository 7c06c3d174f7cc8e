"""Two runs on the same images, compared image by image: what a change of weights, code or config did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.paired_family import judge
from clearsight.data.sequential import each_look
from clearsight.pipelines.analysis.paired import per_image
from clearsight.pipelines.config.registries import METRICS
from clearsight.pipelines.runs.across import Across, Change, Line
from clearsight.pipelines.runs.columns import CONFIDENCE, Columns, Triple, aligned, columns_of
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.facts import ConditionFacts, SystemFacts
from clearsight.pipelines.runs.sealed import complete, read_summary
from clearsight.pipelines.runs.summary import RunSummary, parse_summary
from clearsight.pipelines.systems.threats import NONE

Numbers = NDArray[np.float64]
Spot = tuple[str, str, bool, tuple[str, ...]]
"""Place, attack, whether it is a single condition, and the conditions in it."""
ALL_CLEAN = "clean"


def across(first: Path, second: Path, *, pairs: Mapping[str, str] | None = None) -> Across:
    """Compare two runs.

    Systems are paired by name, conditions where both mean the same corruption, attacks by name. Every metric
    that is a mean over images is compared; all lines of a system and metric are one family: with 95 %
    probability, every true difference of 0 lies in its interval (`clearsight.data.paired_family`).

    Args:
        first: folder of the run before the change.
        second: folder of the run after it.
        pairs: system of the first run -> system of the second, in place of equal names.

    Raises:
        RunError: a folder holds no complete run, or the runs saw different images.
        ConfigError: a pair names a system that is not there, or nothing can be compared.
    """
    summaries = [_summary(first), _summary(second)]
    before, after = summaries
    if before.data.fingerprint != after.data.fingerprint:
        raise RunError(
            f"the runs saw other images ({before.data.samples} and {after.data.samples})",
            where=f"{first} and {second}",
            hint="run both on the same data",
        )
    tables = [_columns(folder, summary) for folder, summary in zip((first, second), summaries, strict=True)]
    comparison = Across(before.name, after.name, before.data.samples)
    conditions = _shared_conditions(before, after, comparison)
    # Each run may have ended a condition at any of its looks: the looks of both count.
    looks = sum(len(summary.stop.looks) for summary in summaries if summary.stop) or 1
    compared = 0
    for mine, theirs in _shared_systems(before, after, pairs or {}, comparison):
        comparison.changed.extend(_changes(_system(before, mine), _system(after, theirs)))
        spots = list(_spots(tables, conditions, mine, theirs, after))
        for metric in (name for name in before.metrics if name in after.metrics):
            values = _values(tables, spots, mine, theirs, metric)
            compared += len(values)
            if values and all(np.array_equal(old, new) for _, old, new in values):
                comparison.left_out.append(f"{theirs}: '{metric}' is equal, image by image")
                comparison.equal.add(metric)
            elif values:
                comparison.lines.extend(_lines(values, theirs, metric, after.seed or 0, looks))
    for metric in sorted({*before.metrics, *after.metrics}):
        if metric not in before.metrics or metric not in after.metrics:
            comparison.left_out.append(f"metric '{metric}': only one run has it")
        elif _column(metric) is None:
            comparison.left_out.append(f"metric '{metric}': it is no mean over images")
    if not compared:
        raise ConfigError(
            "the runs share no system, condition and metric",
            where=f"{first} and {second}",
            hint="name systems with --pair before=after",
        )
    return comparison


def _summary(run: Path) -> RunSummary:
    folder = RunFolder(run)
    if not folder.summary.is_file():
        raise RunError("holds no finished run", where=str(run), hint="give a folder below runs/")
    summary = parse_summary(read_summary(folder))
    if not summary.complete:
        raise RunError("the run is not complete", where=str(run), hint="run its config again to finish it")
    return summary


def _columns(run: Path, summary: RunSummary) -> dict[Triple, Columns]:
    import pyarrow as pa
    from pyarrow import parquet

    folder = RunFolder(run)
    table = parquet.read_table(pa.BufferReader(complete(folder).read(folder.results)))
    counts = [cell.n for cell in summary.cells]
    if table.num_rows != sum(counts):
        raise RunError(
            "does not hold the rows that summary.json lists",
            where=str(folder.results),
            hint="run its config again",
        )
    return columns_of(table, summary.cells, counts)


def _shared_conditions(
    before: RunSummary, after: RunSummary, comparison: Across
) -> dict[str, ConditionFacts]:
    known = {condition.name: condition for condition in before.conditions}
    shared = {}
    for condition in after.conditions:
        other = known.pop(condition.name, None)
        if other is None:
            comparison.left_out.append(f"condition '{condition.name}': only the second run has it")
        elif _meaning(other) != _meaning(condition):
            comparison.left_out.append(f"condition '{condition.name}': another corruption in each run")
        else:
            shared[condition.name] = condition
    comparison.left_out.extend(f"condition '{name}': only the first run has it" for name in known)
    return shared


def _meaning(condition: ConditionFacts) -> tuple[object, ...]:
    if condition.clean:
        return (ALL_CLEAN,)
    return condition.kind, condition.severity, condition.table, tuple(condition.steps)


def _shared_systems(
    before: RunSummary, after: RunSummary, pairs: Mapping[str, str], comparison: Across
) -> Iterator[tuple[str, str]]:
    names = [[system.name for system in summary.systems] for summary in (before, after)]
    for side, chosen in zip(names, (list(pairs), list(pairs.values())), strict=True):
        for name in chosen:
            if name not in side:
                raise ConfigError(f"no system '{name}'", where="--pair", hint=f"there are: {', '.join(side)}")
    if pairs:
        yield from pairs.items()
        return
    for name in names[1]:
        if name in names[0]:
            yield name, name
    for side, other, words in ((names[0], names[1], "first"), (names[1], names[0], "second")):
        comparison.left_out.extend(
            f"system '{name}': only the {words} run has it" for name in side if name not in other
        )


def _system(summary: RunSummary, name: str) -> SystemFacts:
    return next(system for system in summary.systems if system.name == name)


def _changes(before: SystemFacts, after: SystemFacts) -> Iterator[str]:
    """Yield what differs between the parts of two systems, in words."""
    if before.name != after.name:
        yield f"system '{before.name}' against '{after.name}'"
    if before.chain != after.chain:
        yield f"{after.name}: {before.chain} became {after.chain}"
        return
    for old, new in zip(before.parts, after.parts, strict=False):
        if old.sha256 != new.sha256:
            names = (old.weights or "none", new.weights or "none")
            yield f"{after.name}: weights of '{new.name}': {' became '.join(names)}"
        elif old.spec != new.spec:
            known = old.spec.keys() | new.spec.keys()
            fields = sorted(key for key in known if old.spec.get(key) != new.spec.get(key))
            yield f"{after.name}: fields of '{new.name}' changed: {', '.join(fields)}"


def _spots(
    tables: Sequence[Mapping[Triple, Columns]],
    conditions: Mapping[str, ConditionFacts],
    mine: str,
    theirs: str,
    after: RunSummary,
) -> Iterator[Spot]:
    """Yield the groups, then the single conditions that both runs measured for the pair."""
    attacks = [attack.name for attack in after.attacks] or [NONE]
    for attack in attacks:
        shared = [
            name
            for name in conditions
            if (mine, name, attack) in tables[0] and (theirs, name, attack) in tables[1]
        ]
        groups: dict[str, list[str]] = {}
        for name in shared:
            if not conditions[name].clean:
                for group in conditions[name].groups or [conditions[name].group]:
                    groups.setdefault(group, []).append(name)
        for group, names in groups.items():
            if len(names) > 1:
                yield group, attack, False, tuple(names)
        for name in shared:
            yield name, attack, True, (name,)


def _column(metric: str) -> str | None:
    return METRICS.parse({"kind": metric}).mean_of if metric in METRICS.kinds else None


def _values(
    tables: Sequence[Mapping[Triple, Columns]], spots: Sequence[Spot], mine: str, theirs: str, metric: str
) -> list[tuple[Spot, Numbers, Numbers]]:
    """Return the images' values in both runs, at every spot where both have them."""
    column = _column(metric)
    kept: list[tuple[Spot, Numbers, Numbers]] = []
    if column is None:
        return kept
    for spot in spots:
        _, attack, _, names = spot
        both = [
            per_image(table, system, names, attack, column)
            for table, system in zip(tables, (mine, theirs), strict=True)
        ]
        if both[0] is not None and both[1] is not None:
            kept.append((spot, *_cut(both[0], both[1])))
    return kept


def _cut(first: Numbers, second: Numbers) -> tuple[Numbers, Numbers]:
    """Return the values of the images that both have: a condition may have ended earlier in one run."""
    one, other = aligned([first, second])
    return one, other


def _lines(
    values: Sequence[tuple[Spot, Numbers, Numbers]], system: str, metric: str, seed: int, looks: int
) -> Iterator[Line]:
    shown = display_of(metric)
    # The statistic needs differences in [-1, 1]; it does not depend on their scale.
    largest = max(float(np.abs(new - old).max()) for _, old, new in values)
    judged = judge(
        [(new - old) / largest for _, old, new in values],
        Rng(seed).at("across", system, metric),
        confidence=each_look(CONFIDENCE, looks),
        prefixes=looks > 1,
    )
    for ((place, attack, single, _), old, new), verdict in zip(values, judged, strict=True):
        factor = shown.scale
        low, high = verdict.low * largest * factor, verdict.high * largest * factor
        yield Line(
            system=system,
            place=place,
            attack=attack,
            metric=metric,
            single=single,
            before=float(old.mean()) * factor,
            after=float(new.mean()) * factor,
            difference=float((new - old).mean()) * factor,
            low=low,
            high=high,
            p=min(1.0, looks * verdict.p),
            change=_change(low, high, shown.better),
            digits=shown.digits,
            unit=shown.unit,
        )


def _change(low: float, high: float, better: str | None) -> Change:
    if low <= 0 <= high or better is None:
        return "unclear"
    return "better" if (low > 0) == (better == "higher") else "worse"
