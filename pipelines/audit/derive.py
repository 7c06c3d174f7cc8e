"""Derives, from a user's config, the run that an audit needs. No torch here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.defend.attacks.base import LARGEST
from clearsight.defend.attacks.cw import CarliniWagner
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.report.words import radius
from clearsight.pipelines.systems.graph import OUT, Graph, Node, wire

SURE = {"linf": 128 / 255, "l2": 8.0, "l1": 200.0}
"""Radii at which no image survives: half the range of pixels can turn every image into plain grey."""
NORMS = tuple(SURE)
QUERIES = 300
"""Queries of the black-box attack: it need not be strong, only not be stronger than those that see more. A
third where every query is many draws."""
MARGIN, TARGETED = "margin-40", "targeted-20"
"""Names of the attacks on other losses than the cross-entropy, which a decoy class can lead astray."""
TARGETS = 5
"""Wrong classes that the targeted attack tries."""
FIRM = 1000.0
"""A margin that is never reached: the attack on random parts goes on to the end of its steps. One that stops
at the first success stops where a fresh draw often sees the true class again."""


@dataclass(frozen=True)
class Threat:
    """Norm and radius that are asked for."""

    norm: str
    eps: float

    def curve(self) -> tuple[float, ...]:
        """Return growing radii above ``eps``; the last one is sure to break everything."""
        last = min(LARGEST[self.norm], max(SURE[self.norm], 8.0 * self.eps))
        return (*(eps for eps in (2.0 * self.eps, 4.0 * self.eps) if eps < last), last)


@dataclass(frozen=True)
class Subjects:
    """What is audited.

    Attributes:
        names: the systems, in the order of the config.
        nodes: system -> its wiring, the ablations included.
        graphs: the same, checked.
        undefended: audited system -> name of the same system without its restorers; None for one that has
            none.
        condition: the condition that all images are under.
    """

    names: tuple[str, ...]
    nodes: Mapping[str, Any]
    graphs: Mapping[str, Graph]
    undefended: Mapping[str, str | None]
    condition: Condition


def subjects_of(config: Evaluate, chosen: Sequence[str]) -> Subjects:
    """Return the systems to audit and what each is compared with.

    Args:
        config: the user's.
        chosen: names of systems; all that classify where it is empty.

    Raises:
        ConfigError: a system is not there, or none of them gives logits.
    """
    graphs = config.graphs()
    for name in chosen:
        if name not in graphs:
            raise ConfigError(f"no system '{name}'", where="--system", hint=near_miss(name, graphs))
        if graphs[name].gives is not Flow.LOGITS:
            raise ConfigError(f"system '{name}' gives images: there is nothing to attack", where="--system")
    names = tuple(name for name in chosen or graphs if graphs[name].gives is Flow.LOGITS)
    if not names:
        raise ConfigError("no system gives logits: there is nothing to attack", where="systems")
    nodes: dict[str, Any] = {name: config.systems[name] for name in names}
    undefended: dict[str, str | None] = {}
    for name in names:
        bare = without_restorers(graphs[name])
        undefended[name] = None
        if bare is not None:
            ablation = _name_of(bare, nodes, config)
            undefended[name], nodes[ablation] = ablation, bare
    wired = {name: wire(node, config.parts) for name, node in nodes.items()}
    return Subjects(names, nodes, wired, undefended, _condition(config))


def without_restorers(graph: Graph) -> dict[str, Node] | None:
    """Return the wiring of a system with its restorers replaced by the identity; None where it has none.

    Fusions of images, whose inputs are then all the same, are dropped too.
    """
    bare = graph.unrestored
    if bare is None:
        return None
    return {
        step.name: Node(use=step.part_name, of=step.inputs if len(step.inputs) > 1 else step.inputs[0])
        for step in bare.steps
    }


def _name_of(bare: Mapping[str, Node], nodes: Mapping[str, Any], config: Evaluate) -> str:
    """Return the name under which the ablation runs: a system that is the same already, or a new one."""
    key = wire(bare, config.parts).fingerprint()
    known: dict[str, Any] = dict(config.systems) | dict(nodes)
    for name, node in known.items():
        if wire(node, config.parts).fingerprint() == key:
            return name
    stem = f"{bare[OUT].use[:50]}-alone"
    free = (stem, *(f"{stem}-{number}" for number in range(2, len(known) + 2)))
    return next(name for name in free if name not in known)


def _condition(config: Evaluate) -> Condition:
    found = [condition for group in config.expanded().values() for condition in group]
    return next((c for c in found if c.corruption.clean), found[0])


def derive(
    config: Evaluate,
    subjects: Subjects,
    threat: Threat,
    *,
    take: int,
    passable: Collection[str],
    classes: int | None = None,
) -> Evaluate:
    """Return the config that the audit runs.

    Args:
        config: the user's.
        subjects: what is audited.
        threat: norm and radius.
        take: number of images at most.
        passable: names of the systems that let gradients through, as the probes found.
        classes: number of classes where it is known; the targeted attack needs four.
    """
    attacks: dict[str, Any] = {}
    measure: dict[str, list[str]] = {}
    for name in subjects.graphs:
        wanted = _attacks(name, subjects, threat, classes)
        can = {n: a for n, a in wanted.items() if _can(a, name, subjects, passable)}
        measure[name] = list(can)
        attacks |= can
    used = {part for graph in subjects.graphs.values() for part in graph.parts}
    bare_names = set(subjects.undefended.values()) - {None}
    condition = subjects.condition
    document: dict[str, Any] = {
        "task": "evaluate",
        "name": f"{config.name[:54]}-audit",
        "title": f"Audit of {config.title or config.name}: {radius(threat.norm, threat.eps)}",
        "seed": config.seed,
        "chunk": config.chunk,
        "draws": config.draws,
        "images": config.images,
        "data": config.data.model_copy(update={"take": min(take, config.data.take or take)}),
        "parts": {name: spec for name, spec in config.parts.items() if name in used},
        "systems": dict(subjects.nodes),
        "conditions": {condition.name.replace(":", "-").replace("=", "-")[:60]: condition.corruption},
        "attacks": {"none": {"kind": "none"}, **attacks},
        "compare": {"baseline": bare_names.pop()} if len(bare_names) == 1 else None,
    }
    place = tuple(document["conditions"])
    document["measure"] = [
        {"conditions": place, "attacks": ("none", *names), "systems": (name,)}
        for name, names in measure.items()
    ]
    return Evaluate.model_validate(document)


def _attacks(
    system: str, subjects: Subjects, threat: Threat, classes: int | None
) -> dict[str, dict[str, Any]]:
    """Return the attacks on one system; equal names mean equal attacks."""
    ball = {"norm": threat.norm, "eps": threat.eps}
    graph, bare = subjects.graphs[system], subjects.undefended.get(system)
    random = any(spec.stochastic for spec in graph.parts.values())
    attacks: dict[str, dict[str, Any]] = {
        "fgsm": {"kind": "fgsm", **ball},
        "pgd-20": {"kind": "pgd", "steps": 20, **ball},
        "pgd-40": {"kind": "pgd", "steps": 40, **ball},
    }
    if random and threat.norm in CarliniWagner.norms:
        attacks["cw-40-firm"] = {"kind": "cw", "steps": 40, "kappa": FIRM, **ball}
    queries = QUERIES // 3 if random else QUERIES
    attacks[f"square-{queries}"] = {"kind": "square", "queries": queries, "threat": "scores", **ball}
    attacks[MARGIN] = {"kind": "apgd", "loss": "margin", "steps": 40, **ball}
    if classes is not None and classes >= 4:
        goals = {"loss": "dlr_targeted", "targets": min(TARGETS, classes - 1)}
        attacks[TARGETED] = {"kind": "apgd", "steps": 20, **goals, **ball}
    if system not in subjects.names:
        return attacks
    for eps in threat.curve()[-1:] if random else threat.curve():
        attacks[f"pgd-20-eps-{eps:.4g}"] = {"kind": "pgd", "steps": 20, "norm": threat.norm, "eps": eps}
    if bare:
        if len(graph.classifiers) == 1:
            attacks["oblivious"] = {"kind": "pgd", "steps": 40, "threat": "oblivious", **ball}
        # Momentum makes images that transfer better (Dong et al. 2018).
        moved = {"kind": "pgd", "steps": 40, "momentum": 1.0, **ball}
        attacks[f"transfer-{bare}"[:60]] = moved | {"threat": "transfer", "source": bare}
    return attacks


def _can(attack: Mapping[str, Any], system: str, subjects: Subjects, passable: Collection[str]) -> bool:
    """Return False for a gradient attack on a victim that lets no gradient through."""
    if attack.get("threat") == "scores":
        return True
    victim = system
    if attack.get("threat") in ("transfer", "oblivious"):
        victim = subjects.undefended[system] or system
    return victim in passable


def blocked(graph: Graph) -> str | None:
    """Return the name of a part that says it lets no gradient through."""
    return next((name for name, spec in graph.parts.items() if spec.gradient is Gradient.BLOCKED), None)
