"""The search space: every chain of restorers that a config allows, without and with each gate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow
from clearsight.pipelines.config.tune import CLASSIFIER, Tune
from clearsight.pipelines.systems.graph import gated_chain

ALONE = "alone"
"""The classifier alone: what every candidate is compared with."""
MOST = 2000
"""Candidates of one search."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class Candidate:
    """One system of the search space.

    Attributes:
        name: in the tables.
        chain: names of the restorers, in order.
        gate: name of the part that joins the untouched and the restored image; None for none.
        nodes: the wiring, as a config has it.
        place: index in the search space, which breaks ties.
    """

    name: str
    chain: tuple[str, ...]
    gate: str | None
    nodes: dict[str, dict[str, Any]]
    place: int

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the parts, each as often as an image goes through it."""
        return tuple(node["use"] for node in self.nodes.values())


def candidates(config: Tune) -> list[Candidate]:
    """Return the search space: the classifier alone, then chains by length, without and with every gate.

    Raises:
        ConfigError: there are too many.
    """
    variants = {name: tuple(few) for name, few in config.variants().items()}
    found = [candidate(config, (), None, place=0)]
    for length in range(1, min(config.longest, len(variants)) + 1):
        for order in permutations(variants, length):
            for chain in product(*(variants[name] for name in order)):
                for gate in (None, *config.gates):
                    found.append(candidate(config, chain, gate, place=len(found)))
                if len(found) > MOST:
                    raise ConfigError(
                        f"the search space has more than {MOST:,} candidates",
                        where="restorers",
                        hint="shorter chains ('longest'), fewer restorers or values",
                    )
    return found


def candidate(
    config: Tune, chain: tuple[str, ...], gate: str | None, *, place: int, name: str = ""
) -> Candidate:
    """Return the candidate of a chain and a gate."""
    gives = Flow.IMAGES if gate is None else config.gates[gate].gives
    nodes = gated_chain(chain, CLASSIFIER, gate, gives=gives)
    joined = "+".join(chain) or ALONE
    told = name or (joined if gate is None else f"{gate}.{joined}")
    return Candidate(told if len(told) <= LONGEST_NAME else f"chain-{place}", chain, gate, nodes, place)
