"""Which system an attack is computed on, and whether it can be: the threat models. No torch here."""

from __future__ import annotations

from collections.abc import Mapping

from clearsight.data.contract.errors import AttackError, ConfigError, near_miss
from clearsight.data.contract.spec import Flow, Gradient, kind_of
from clearsight.defend.attacks.base import Attack
from clearsight.pipelines.systems.graph import Graph, chain

NONE = "none"


def victim_of(attack: Attack, name: str, graphs: Mapping[str, Graph], system: str) -> Graph:
    """Return the graph that adversarial images are computed on: what the threat model lets the attacker know.

    Args:
        attack: the adversary.
        name: its name in the config, for messages.
        graphs: all systems of the config.
        system: name of the system that is under attack.

    Raises:
        ConfigError: the threat model names an unknown system, or one without a single classifier.
        AttackError: it needs gradients that a part declares not to have.
    """
    where = f"attack '{name}'"
    graph, called = graphs[system], system
    if attack.source is not None:
        if attack.source not in graphs:
            raise ConfigError(
                f"no system '{attack.source}'", where=where, hint=near_miss(attack.source, graphs)
            )
        graph, called = graphs[attack.source], attack.source
    if attack.threat == "oblivious":
        classifiers = graph.classifiers
        if len(classifiers) != 1:
            raise ConfigError(
                f"'threat: oblivious' attacks the classifier alone, but '{system}' has {len(classifiers)}",
                where=where,
                hint="use 'threat: transfer' with the system that the attacker would build",
            )
        graph = chain(classifiers[0])
    if graph.gives is Flow.BOXES:
        raise ConfigError(
            f"system '{called}' gives boxes: attacks are made on classifiers only",
            where=where,
            hint="take the attack out, or name the systems in 'measure'",
        )
    if graph.gives is not Flow.LOGITS:
        raise ConfigError(f"system '{called}' gives images, not logits: nothing to attack", where=where)
    if not attack.needs_detector:
        # A detector that the attack does not look at would be computed at every step.
        graph = graph.unscreened()
    elif graph.screen is None:
        raise ConfigError(
            f"system '{called}' has no detector for {kind_of(attack)} to mislead",
            where=where,
            hint="name the systems with a detector in 'measure'",
        )
    if attack.sees == "gradient":
        refuse(graph, through=attack.through, system=called, attack=name)
    return graph


def refuse(graph: Graph, *, through: str, system: str, attack: str) -> None:
    """Raise `AttackError` where an attack that needs gradients cannot pass, as far as the parts declare it.

    Args:
        graph: the system that is attacked.
        through: ``bpda`` or ``exact``.
        system: its name, for the message.
        attack: the attack's name, for the message.
    """
    for name, spec in graph.parts.items():
        if spec.gradient is Gradient.BLOCKED:
            raise AttackError(
                f"needs gradients, but part '{name}' ({spec.name}) of system '{system}' lets none through",
                where=f"attack '{attack}'",
                hint="use an attack on scores (square), or 'threat: transfer' with a 'source'",
            )
        if spec.gradient is Gradient.SURROGATE and through == "exact":
            raise AttackError(
                f"needs gradients, but part '{name}' ({spec.name}) of system '{system}' has a surrogate only",
                where=f"attack '{attack}'",
                hint="write 'through: bpda'",
            )


def is_attack(attack: Attack) -> bool:
    """Return False for the attack that does nothing."""
    return kind_of(attack) != NONE
