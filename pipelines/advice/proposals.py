"""Which chains of restorers are worth trying against what is wrong with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import yaml

from clearsight.data.contract.spec import PartSpec
from clearsight.data.contract.written import written
from clearsight.pipelines.restoring.chain import read_chain
from clearsight.pipelines.systems.gates.damage_gate import DamageGate
from clearsight.pipelines.systems.graph import Graph, Node, gated_chain, wire

if TYPE_CHECKING:
    from clearsight.defend.base import ClassifierSpec
    from clearsight.restore.sense_base import SenseSpec

REMEDIES: Mapping[str, tuple[str, ...]] = {
    "darkness": ("auto_exposure", "low-light"),
    "overexposure": ("clahe",),
    "low_contrast": ("clahe",),
    "noise": ("denoise", "impulse_filter"),
    "compression": ("denoise",),
    "blur": ("deblur",),
    "weather": (),
}
"""Kind of damage -> shipped restorers made for it, the likelier first. The order of kinds is that of a
chain: light first, noise before sharpness. Nothing that ships is made for snow and frost alone."""
SMALL = 96.0
"""Greatest shorter side in pixels of small images."""
ANY_BLUR = "zoom_deblur,blind_plug_and_play,glass_smooth"
"""Restorers that each undo the blur they find, and leave images with another to the next."""
OF_PHOTOGRAPHS: Mapping[str, tuple[str, ...]] = {
    **REMEDIES,
    "low_contrast": ("auto_contrast", "clahe"),
    "weather": ("auto_contrast",),
    "noise": ("gentle_denoiser", "impulse_filter"),
    "blur": (ANY_BLUR, "deblur"),
}
"""The same for larger ones, whose spectrum tells one blur from another, and whose windows hold enough pixels
to tell a veil from a plain subject. Of weather it is fog that is undone."""
GENERAL: Mapping[float, str] = {48.0: "clarity-32px", SMALL: "clarity-small", inf: "clarity"}
"""Greatest shorter side in pixels -> restorer for any damage up to it; that for 64 harms at 32 and at 224."""


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

    def graph(self, classifier: ClassifierSpec) -> Graph:
        """Return the checked system."""
        nodes = {name: Node.model_validate(node) for name, node in self._nodes().items()}
        return wire(nodes, self.parts(classifier))

    def config(self, classifier: ClassifierSpec) -> str:
        """Return the parts and the system as YAML, to be pasted into a config."""
        parts = self.parts(classifier)
        system = self._nodes() if self.gate else list(parts)
        told = {"parts": written(parts), "systems": {"advised": system}}
        text: str = yaml.safe_dump(told, sort_keys=False)
        return text

    def _nodes(self) -> dict[str, dict[str, Any]]:
        restorers = [f"restore_{i}" for i, _ in enumerate(self.words.split(","), 1)]
        return gated_chain(restorers, "classify", "gate" if self.gate else None)


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
        of_size = OF_PHOTOGRAPHS if side > SMALL else REMEDIES
        known = {kind: remedies for kind, remedies in of_size.items() if kind in damage}
        words = [word for remedies in known.values() for word in remedies]
        first = list(dict.fromkeys(remedies[0] for remedies in known.values() if remedies))
        if len(first) > 1:
            words.append(",".join(first))
        if damage:
            words += [word for longest, word in GENERAL.items() if side <= longest][:1]
    plain = [Candidate(word) for word in dict.fromkeys(words)]
    if sense is None or not damage:
        return plain
    gate = DamageGate.model_validate({"damage": tuple(damage), "sense": sense})
    return plain + [Candidate(each.words, gate) for each in plain]
