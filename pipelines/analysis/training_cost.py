"""The training of shipped weights, from their card: method and cost. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearsight.pipelines.runs.facts import Training


def training_of(card: Mapping[str, Any]) -> Training:
    """Return ``training`` of a part in the summary.

    Args:
        card: what ``card.json`` holds.

    Returns:
        Method (kind of the training method) and weights that it started from, each None where the card
        names none; the machine; and costs, without those of the weights that it started from.
        ``back_propagations`` are those of the method's attack, per image and epoch.
    """
    recipe = card.get("recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    method = recipe.get("method")
    kind = method.get("kind") if isinstance(method, Mapping) else None
    return Training(
        method=str(kind) if kind else None,
        init=str(recipe["init"]) if recipe.get("init") else None,
        machine=str(card["machine"]) if card.get("machine") else None,
        minutes=_number(card.get("minutes")),
        epochs=_number(card.get("epochs")),
        steps=_number(card.get("steps")),
        back_propagations=_number(card.get("back_propagations")),
    )


def _number(entry: Any) -> float | int | None:
    return entry if isinstance(entry, int | float) and not isinstance(entry, bool) else None
