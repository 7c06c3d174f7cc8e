"""Reads the records that attacks wrote beside their rows, and sums up their cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.spec import kind_of
from clearsight.data.statistics import significant
from clearsight.defend.attacks.base import Attack
from clearsight.pipelines.checks.attack_record import AttackRecord, Facts
from clearsight.pipelines.runs.columns import Columns, RunColumns, Triple
from clearsight.pipelines.runs.facts import AttackFacts
from clearsight.pipelines.runs.summary import AttackCost, MemberCost
from clearsight.pipelines.systems.threats import is_attack, victim_of

if TYPE_CHECKING:
    from clearsight.data.contract.run_folder import RunFolder
    from clearsight.pipelines.runs.folder import Chunks
    from clearsight.pipelines.runs.grid import Cell
    from clearsight.pipelines.systems.graph import Graph

COUNTS = ("tried", "broken", "queries", "backwards")


def load_facts(
    folder: RunFolder, cells: Sequence[Cell], attacks: Mapping[str, Attack], chunks: Chunks
) -> dict[Triple, Facts]:
    """Return the facts of every attacked cell whose chunks are all there.

    Raises:
        RunError: a file does not match its seal.
    """
    found: dict[Triple, Facts] = {}
    for cell in cells:
        if is_attack(attacks[cell.attack]):
            batches: list[Mapping[str, Any]] = []
            for number, seal in enumerate(chunks[cell.key]):
                batches += json.loads(seal.read(folder.attack(cell.key, number)))
            found[cell.system, cell.condition, cell.attack] = add_up(batches)
    return found


def add_up(batches: Sequence[Mapping[str, Any]]) -> Facts:
    """Sum up the facts of batches; members keep the order in which they first came."""
    through: dict[str, str] = {}
    broken: dict[str, None] = {}
    false: dict[str, None] = {}
    members: dict[str, dict[str, Any]] = {}
    for batch in batches:
        through |= batch["through"]
        broken |= dict.fromkeys(batch["broken"])
        false |= dict.fromkeys(batch.get("false", ()))  # Chunks of an older version did not look.
        for told in batch["members"]:
            name = told["member"]
            member = members.setdefault(name, {"member": name, **dict.fromkeys(COUNTS, 0)})
            for count in COUNTS:
                member[count] += told[count]
    # A part may look alive on one batch and dead on another; what an attacker had to go around is the latter.
    for name in broken:
        through[name] = next((b["through"][name] for b in batches if name in b["broken"]), through[name])
    return Facts(through, tuple(broken), tuple(false), tuple(members.values()))


def attack_record_of(measured: RunColumns, triple: Triple, facts: Facts) -> AttackRecord:
    """Return what the truth checks look at for one attacked cell."""
    system, _, name = triple
    attack, graphs = measured.grid.attacks[name], measured.grid.graphs
    random = _random(victim_of(attack, name, graphs, system))
    return AttackRecord(
        name,
        attack,
        measured.columns[triple],
        facts,
        random=_random(graphs[system]),
        draws=attack.averaged if random else 1,
        classes=measured.classes,
        victim_random=random,
    )


def _random(graph: Graph) -> bool:
    return any(spec.stochastic for spec in graph.parts.values())


def describe(name: str, attack: Attack) -> AttackFacts:
    """Return what the summary says of an attack."""
    if not is_attack(attack):
        return AttackFacts(name, kind_of(attack))
    norm, eps = attack.radius or (None, None)
    return AttackFacts(
        name, kind_of(attack), attack.threat, attack.sees, attack.source, attack.through, norm, eps
    )


def cost(attack_record: AttackRecord) -> AttackCost:
    """Return an attack's cost per image, the size of its perturbations, and its way through the parts."""
    columns = attack_record.columns
    return AttackCost(
        images=int(attack_record.worked_on.sum()),
        queries=_mean(columns, "queries", None),
        backwards=_mean(columns, "backwards", None),
        linf=_mean(columns, "linf", "l2"),
        l2=_mean(columns, "l2", "l2"),
        l1=_mean(columns, "l1", "l2"),
        through=dict(attack_record.facts.through),
        broken=list(attack_record.facts.broken),
        members=[MemberCost(**member) for member in attack_record.facts.members],
    )


def _mean(columns: Columns, name: str, where: str | None) -> float | None:
    """Return the mean of a column, over the images where another one is above 0 if that is named."""
    column = columns.get(name)
    if column is None:
        return None
    chosen = ~np.isnan(column) if where is None else columns[where] > 0
    return significant(column[chosen].mean()) if chosen.any() else None
