"""The card of weights in a dozen lines for people; ``--json`` prints it whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clearsight.data.contract.text import duration
from clearsight.pipelines.cli.weights import headline

NAMED = 12
"""Classes that are named; of more, the first and their number."""
APART = {"kind", "weights", "classes", "class_names"}


def card_lines(card: Mapping[str, Any], weights: str) -> Iterator[tuple[str, str]]:
    """Yield (heading, text) of what a card says: use, network, classes, figures, data, training, limits.

    What a card leaves out is left out.

    Args:
        card: of the weights.
        weights: what names them: an id of shipped ones, a folder, or a name on the hub.
    """
    spec = dict(card["spec"])
    yield "use", f"{{kind: {spec['kind']}, weights: {weights}}}"
    fields = ", ".join(f"{name} {_short(value)}" for name, value in spec.items() if name not in APART)
    yield "network", f"{spec['kind']}{': ' if fields else ''}{fields}"
    if names := spec.get("class_names"):
        shown = ", ".join(map(str, names[:NAMED]))
        yield "classes", f"{len(names)}: {shown}{', ...' if len(names) > NAMED else ''}"
    figures = card["figures"] if isinstance(card["figures"], dict) else {"": card["figures"]}
    for part, figure in figures.items():
        if text := headline(figure) if isinstance(figure, dict) else str(figure):
            yield "figures", f"{part}: {text}" if part else text
    data = card["data"]
    if about := str(data.get("about", data)) if isinstance(data, dict) else str(data):
        yield "data", about
    if isinstance(data, dict) and isinstance(data.get("images"), dict):
        yield "images", ", ".join(f"{part} {count}" for part, count in data["images"].items())
    yield "training", ", ".join(_training(card))
    if card["limits"]:
        yield "limits", str(card["limits"])
    yield "licence", str(card["licence"])
    yield "sha256", str(card["sha256"])


def _training(card: Mapping[str, Any]) -> Iterator[str]:
    recipe = card["recipe"]
    method = recipe.get("method") if isinstance(recipe, dict) else None
    if isinstance(method, dict) and "kind" in method:
        yield str(method["kind"])
    if isinstance(card.get("epochs"), (int, float)):
        yield f"{card['epochs']:g} epochs"
    yield (
        duration(60 * card["minutes"]) if isinstance(card["minutes"], (int, float)) else str(card["minutes"])
    )
    yield str(card["machine"])
    yield f"seed {card['seed']}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_short(item)}" for name, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)
