"""Which chains of restorers are worth trying against what is wrong with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from clearsight.data.contract.spec import PartSpec
from clearsight.pipelines.restoring.chain import read_chain
from clearsight.pipelines.systems.gates.damage_gate import DamageGate
from clearsight.pipelines.systems.graph import Graph, Node, wire

if TYPE_CHECKING:
    from clearsight.defend.base import ClassifierSpec
    from clearsight.restore.sense_base import SenseSpec

REMEDIES: Mapping[str, tuple[str, ...]] = {
    "darkness": ("auto_exposure", "low-light"),
    "overexposure": ("clahe",),
    "low_contrast": ("clahe",),
    "noise": ("denoise", "median"),
    "compression": ("denoise",),
    "blur": ("deblur",),
    "weather": (),
}
"""Kind of damage -> shipped restorers that are made for it, the likelier first. Their order is that of a
chain: light first, noise before sharpness. Nothing that ships is made for snow and frost alone."""
SMALL, GENERAL = 96, "clarity-small"
"""Images up to this shorter side, and the restorer for any damage on such."""


@dataclass(frozen=True)
class Candidate:
    """A chain that may help.

    Attributes:
        words: its restorers as `clearsight restore --with` calls them, with commas.
        gate: lets only what it finds damaged through the chain; None: every image goes through.
    """

    words: str
    gate: DamageGate | None = None

    @property
    def name(self) -> str:
        """Return what tables call it."""
        return f"{self.words}, gated" if self.gate else self.words

    def parts(self, classifier: ClassifierSpec) -> dict[str, PartSpec]:
        """Return the parts by name, the classifier among them."""
        steps = read_chain(self.words, None).colour
        named: dict[str, PartSpec] = {f"restore_{i}": step.spec for i, step in enumerate(steps, 1)}
        if self.gate:
            named["gate"] = self.gate
        return named | {"classify": classifier}

    def wiring(self) -> dict[str, dict[str, Any]] | list[str]:
        """Return the system as a config writes it."""
        steps = [f"restore_{i}" for i, _ in enumerate(self.words.split(","), 1)]
        if not self.gate:
            return [*steps, "classify"]
        before = ["image", *(f"step_{i}" for i, _ in enumerate(steps, 1))]
        nodes: dict[str, dict[str, Any]] = {
            after: {"use": use, "of": last}
            for use, last, after in zip(steps, before, before[1:], strict=False)
        }
        nodes["chosen"] = {"use": "gate", "of": ["image", before[-1]]}
        return nodes | {"out": {"use": "classify", "of": "chosen"}}

    def graph(self, classifier: ClassifierSpec) -> Graph:
        """Return the checked system."""
        wiring = self.wiring()
        nodes = (
            wiring
            if isinstance(wiring, list)
            else {
                name: Node.model_validate(node | {"of": _inputs(node["of"])}) for name, node in wiring.items()
            }
        )
        return wire(nodes, self.parts(classifier))

    def config(self, classifier: ClassifierSpec) -> str:
        """Return the parts and the system as YAML, to be pasted into a config."""
        told = {name: _written(spec) for name, spec in self.parts(classifier).items()}
        text: str = yaml.safe_dump({"parts": told, "systems": {"advised": self.wiring()}}, sort_keys=False)
        return text


def candidates(
    damage: Sequence[str], side: float, chosen: Sequence[str] | None, *, sense: SenseSpec | None
) -> list[Candidate]:
    """Return the chains worth trying.

    Args:
        damage: kinds that are there.
        side: shorter side of the images in pixels.
        chosen: chains that the user wants to be tried in place of those known here.
        sense: where some images are undamaged: each chain is then also tried behind a gate that asks it.
    """
    if chosen is not None:
        words = list(chosen)
    else:
        known = {kind: REMEDIES[kind] for kind in REMEDIES if kind in damage}
        words = [word for remedies in known.values() for word in remedies]
        first = list(dict.fromkeys(remedies[0] for remedies in known.values() if remedies))
        if len(first) > 1:
            words.append(",".join(first))
        if side <= SMALL and damage:
            words.append(GENERAL)
    plain = [Candidate(word) for word in dict.fromkeys(words)]
    if sense is None or not damage:
        return plain
    gate = DamageGate.model_validate({"damage": tuple(damage), "sense": sense})
    return plain + [Candidate(each.words, gate) for each in plain]


def _inputs(of: str | list[str]) -> str | tuple[str, ...]:
    return of if isinstance(of, str) else tuple(of)


def _written(spec: PartSpec) -> dict[str, Any]:
    """Return the node of a part as a config writes it: without what its weights or defaults say."""
    told = spec.model_dump(mode="json", exclude_unset=True)
    inner = {name: value for name in told if isinstance(value := getattr(spec, name), PartSpec)}
    nodes = {name: _written(value) for name, value in inner.items()}
    # Weights that a resolved part came from say the rest.
    kept = {"weights": spec.weights} if spec.weights else told
    return {"kind": spec.name} | kept | nodes
