"""The grid: which cells (system x condition x attack) a config asks for, each with a content key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import content_key
from clearsight.data.sources.entries import Entry
from clearsight.defend.attacks.base import Attack
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.config.evaluate import Evaluate, Measure
from clearsight.pipelines.systems.certifiable import certifiable
from clearsight.pipelines.systems.graph import Graph
from clearsight.pipelines.systems.threats import is_attack, victim_of

MOST_CELLS = 100_000
"""Most cells in one run: each is a folder, and a run of that many takes days."""


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        key: hash of everything that decides its numbers: parts, weights, wiring, corruption, attack, the
            images' content, seed, chunk size, device and library versions.
    """

    key: str
    system: str
    condition: str
    attack: str


@dataclass(frozen=True)
class CertifiedCell:
    """A system under a condition, certified; the key is like that of a `Cell`."""

    key: str
    system: str
    condition: str
    certificate: str


@dataclass(frozen=True)
class OodCell:
    """A system on images of something else, uncorrupted; the key is like that of a `Cell`."""

    key: str
    system: str
    source: str


AnyCell = Cell | CertifiedCell


@dataclass(frozen=True)
class Grid:
    """All cells in the order of the config, and what their names mean."""

    graphs: Mapping[str, Graph]
    conditions: Mapping[str, Condition]
    groups: Mapping[str, tuple[str, ...]]
    attacks: Mapping[str, Attack]
    triples: tuple[tuple[str, str, str], ...]
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    certified: tuple[tuple[str, str, str], ...] = ()
    """System, condition and certificate."""

    @property
    def measured(self) -> tuple[str, ...]:
        """Return the systems that have cells; others are only there to make attacks on."""
        used = {system for system, _, _ in self.triples}
        return tuple(name for name in self.graphs if name in used)

    def fitted(self, side: float) -> Grid:
        """Return the grid with severity constants, where left open, settled for this shorter side."""
        settled = {name: condition.fitted(side) for name, condition in self.conditions.items()}
        return replace(self, conditions=settled)

    def lacking(self, entries: Sequence[Entry]) -> dict[str, str]:
        """Return id -> reason of the images that one of the conditions does not have."""
        found: dict[str, str] = {}
        for condition in self.conditions.values():
            found = {**condition.corruption.lacking(entries), **found}
        return found

    def bound(self, entries: Sequence[Entry]) -> Grid:
        """Return the grid for these images: keys then say what stored conditions hold for them."""
        return replace(self, conditions={n: each.bound(entries) for n, each in self.conditions.items()})

    def cells(self, *, data: str, seed: int, chunk: int, setting: Mapping[str, str]) -> tuple[Cell, ...]:
        """Return the cells with their keys.

        Args:
            data: fingerprint of the images.
            seed: root of the random streams.
            chunk: images computed together.
            setting: device and library versions.
        """
        systems = {name: graph.fingerprint() for name, graph in self.graphs.items()}
        of_run = [data, seed, chunk, dict(setting)]
        return tuple(
            Cell(
                self._key(systems[system], condition, self._identity(attack, systems), of_run),
                system,
                condition,
                attack,
            )
            for system, condition, attack in self.triples
        )

    def certified_cells(
        self, *, data: str, seed: int, chunk: int, setting: Mapping[str, str]
    ) -> tuple[CertifiedCell, ...]:
        """Return the cells of certificates with their keys; the arguments are those of `cells`."""
        pairs = {(system, certificate) for system, _, certificate in self.certified}
        systems = {pair: self.certifiable(*pair).fingerprint() for pair in pairs}
        of_run = [data, seed, chunk, dict(setting)]
        return tuple(
            CertifiedCell(
                self._key(
                    systems[system, certificate], condition, self._certificate_identity(certificate), of_run
                ),
                system,
                condition,
                certificate,
            )
            for system, condition, certificate in self.certified
        )

    def _key(self, system: str, condition: str, probe: Any, of_run: list[Any]) -> str:
        return content_key([system, self.conditions[condition].corruption.identity(), probe, of_run])

    def certifiable(self, system: str, certificate: str) -> Graph:
        """Return the system that is certified, with the noise level given to its parts.

        Raises:
            ConfigError: nothing can be proved of it in this way.
        """
        graph = self.graphs[system]
        return certifiable(graph, self.certificates[certificate], system=system, name=certificate)

    def _certificate_identity(self, name: str) -> list[Any]:
        certificate = self.certificates[name]
        return [certificate.identity(), [self.attacks[attack].identity() for attack in certificate.attacks]]

    def _identity(self, attack: str, systems: Mapping[str, str]) -> dict[str, Any]:
        spec = self.attacks[attack]
        # The source of a transfer is whatever the name stands for in this config, not the name.
        return spec.identity() | ({"source": systems[spec.source]} if spec.source else {})


def _size(block: Measure, groups: Mapping[str, tuple[str, ...]], config: Evaluate) -> int:
    conditions = sum(len(groups[group]) for group in block.conditions)
    return conditions * (len(block.attacks) + len(block.certify)) * len(block.systems or config.systems)


def make_grid(config: Evaluate) -> Grid:
    """Expand a config to the products that ``measure`` asks for, each cell once.

    Raises:
        ConfigError: the config measures nothing or too much, attacks a system without logits, or certifies
            one that cannot be certified or is not measured.
        AttackError: an attack needs gradients that a part declares not to have.
    """
    graphs, expanded = config.graphs(), config.expanded()
    conditions = {c.name: c for group in expanded.values() for c in group}
    groups = {group: tuple(c.name for c in found) for group, found in expanded.items()}
    triples: dict[tuple[str, str, str], None] = {}
    certified: dict[tuple[str, str, str], None] = {}
    wanted = sum(_size(block, groups, config) for block in config.blocks())
    if wanted > MOST_CELLS:
        raise ConfigError(f"{wanted:,} cells are to be measured, at most {MOST_CELLS:,} are taken in one run")
    for block in config.blocks():
        names = [name for group in block.conditions for name in groups[group]]
        systems = block.systems or tuple(config.systems)
        for found, probes in ((triples, block.attacks), (certified, block.certify)):
            found |= dict.fromkeys(
                (system, name, probe) for name, probe, system in product(names, probes, systems)
            )
    if not triples:
        raise ConfigError("nothing is measured")
    for system, _, attack in triples:
        if is_attack(config.attacks[attack]):
            victim_of(config.attacks[attack], attack, graphs, system)
    _refuse_uncertifiable(config, graphs, triples, certified)
    used = {condition for _, condition, _ in triples}
    return Grid(
        graphs,
        {name: condition for name, condition in conditions.items() if name in used},
        {group: tuple(n for n in names if n in used) for group, names in groups.items() if used & set(names)},
        config.attacks,
        tuple(triples),
        config.certify,
        tuple(certified),
    )


Triples = Mapping[tuple[str, str, str], None]


def _refuse_uncertifiable(
    config: Evaluate, graphs: Mapping[str, Graph], triples: Triples, certified: Triples
) -> None:
    measured = {(system, condition) for system, condition, _ in triples}
    for system, condition, name in certified:
        certifiable(graphs[system], config.certify[name], system=system, name=name)
        if (system, condition) not in measured:
            raise ConfigError(
                f"system '{system}' under '{condition}' is certified but not measured",
                where=f"certificate '{name}'",
                hint="add 'attacks: [none]' to that block of 'measure'",
            )
