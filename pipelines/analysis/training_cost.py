"""What the card of trained weights says of their training: method and cost. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COSTS = ("minutes", "epochs", "steps", "back_propagations")
"""Numbers that a card may hold; one that it lacks is None. ``back_propagations`` are those of the method's
attack, an image and epoch."""


def training_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``training`` of a part in the summary.

    Args:
        card: what ``card.json`` holds.

    Returns:
        ``method`` (kind of the training method), ``init`` (weights that it started from), each None where the
        card names none; ``machine``, and `COSTS`, which leave out what the first weights had cost.
    """
    recipe = card.get("recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    method = recipe.get("method")
    kind = method.get("kind") if isinstance(method, Mapping) else None
    return {
        "method": str(kind) if kind else None,
        "init": str(recipe["init"]) if recipe.get("init") else None,
        "machine": str(card["machine"]) if card.get("machine") else None,
        **{name: _number(card.get(name)) for name in COSTS},
    }


def _number(told: Any) -> float | int | None:
    return told if isinstance(told, int | float) and not isinstance(told, bool) else None
