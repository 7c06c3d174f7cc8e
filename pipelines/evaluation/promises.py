"""What conformal sets promise, and where in a run they promise nothing: told before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clearsight.data.contract.estimator import THROUGH
from clearsight.data.weights import find
from clearsight.defend.conformal_base import ConformalSpec
from clearsight.pipelines.runs.grid import Grid
from clearsight.pipelines.systems.conformal import conformal
from clearsight.pipelines.systems.graph import Graph
from clearsight.pipelines.systems.threats import is_attack

NAMED = 3
"""Conditions that a warning names."""


def promise_warnings(grid: Grid, fingerprint: str) -> tuple[str, ...]:
    """Return, for every system with conformal sets, where its promise does not hold.

    Args:
        grid: what is measured.
        fingerprint: of the images.
    """
    warnings: list[str] = []
    for name in grid.measured:
        spec = conformal(grid.graphs[name])
        if spec is not None:
            warnings += _of_system(grid, name, spec, fingerprint)
    return tuple(warnings)


def _of_system(grid: Grid, name: str, spec: ConformalSpec, fingerprint: str) -> Iterator[str]:
    assert spec.weights is not None
    card = find(spec.weights).card
    if _elsewhere(grid.graphs[name], card):
        yield (
            f"the sets of system '{name}' were fitted in another system ({card.get('system', 'unknown')}):"
            " nothing is promised of their coverage here"
        )
        return
    if card.get("data", {}).get("fingerprint") == fingerprint:
        yield (
            f"the sets of system '{name}' were fitted to these very images:"
            " nothing is promised of their coverage here, only on new images"
        )
        return
    fitted_under = list(card.get("recipe", {}).get("conditions", {}))
    mine = [(condition, attack) for system, condition, attack in grid.triples if system == name]
    void = [
        condition
        for condition in dict.fromkeys(condition for condition, _ in mine)
        if fitted_under or not grid.conditions[condition].corruption.clean
    ]
    attacks = [each for each in dict.fromkeys(each for _, each in mine) if is_attack(grid.attacks[each])]
    if not void and not attacks:
        return
    promised = 100.0 * (1.0 - spec.resolved().alpha)
    like = (
        f"under a draw of {', '.join(fitted_under)}, as in its fit"
        if fitted_under
        else "undamaged, as in its fit"
    )
    where = " and ".join(filter(None, (_named("condition", void), _named("attack", attacks))))
    yield (
        f"the sets of system '{name}' hold {promised:g} % of the true classes by promise only for images"
        f" {like}; under {where} nothing is promised, and coverage is what was measured"
    )


def _elsewhere(graph: Graph, card: dict[str, Any]) -> bool:
    """Return whether the system before the sets is another one than that of the fit."""
    return THROUGH in card and card[THROUGH] != graph.content(len(graph.steps) - 1)


def _named(noun: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names[:NAMED])}{more}"
