"""``clearsight list`` and ``clearsight show``: all kinds and weights, and their fields. No torch here."""

from __future__ import annotations

from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.field_docs import describe_fields
from clearsight.data.contract.spec import PartSpec, Spec
from clearsight.data.hub_names import on_hub
from clearsight.data.weights import MODEL, find, shipped
from clearsight.pipelines.cli.card import card_lines
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.cli.weights import headline
from clearsight.pipelines.config.registries import GROUPS

if TYPE_CHECKING:
    from rich.table import Table

RECIPES = "recipes"
"""Group of the shipped recipes, which are no kinds."""


def list_command(group: str | None) -> None:
    """Print the kinds of one group, the shipped recipes, or all."""
    known = (*GROUPS, RECIPES)
    if group is not None and group not in known:
        raise ConfigError(f"no group '{group}'", hint=near_miss(group, known))
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    for name, registry in GROUPS.items():
        if group not in (None, name):
            continue
        table = Table(title=name, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in ("kind", "purpose", *_facts_header(name)):
            table.add_column(heading)
        for entry in registry:
            kind = entry.model_fields["kind"].default
            cells = (kind, getattr(entry, "purpose", ""), *_facts(name, entry))
            table.add_row(*map(escape, cells))
        screen.print(table)
        screen.print()
        if name == "restorers":
            screen.print(_trained_restorers())
            screen.print()
    if group in (None, RECIPES):
        screen.print(_recipes())


def _recipes() -> Table:
    """Return the shipped recipes with the command that takes them."""
    from rich.markup import escape
    from rich.table import Table

    from clearsight.pipelines.cli.recipes import listed

    table = Table(title=RECIPES, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("recipe", "command", "purpose"):
        table.add_column(heading)
    for cells in listed():
        table.add_row(*map(escape, cells))
    return table


def _trained_restorers() -> Table:
    """Return the shipped weights of restorers with their size, time and PSNR."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title="trained restorers", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for heading in ("weights", "kind", "MB", "ms at 256x256", "PSNR (95 % interval)"):
        table.add_column(heading)
    for weights in shipped():
        card = weights.card
        if card["spec"]["kind"] not in GROUPS["restorers"].kinds:
            continue
        part = "test" if "test" in card["figures"] else "validation"
        size = (weights.folder / MODEL).stat().st_size / 1e6
        time = card.get("speed", {}).get("milliseconds", "")
        psnr = f"{part}: {headline(card['figures'][part])}"
        table.add_row(*map(escape, (card["id"], card["spec"]["kind"], f"{size:.1f}", str(time), psnr)))
    return table


def _facts_header(group: str) -> tuple[str, ...]:
    if group in ("restorers", "classifiers", "fusions"):
        return ("gradient", "stochastic", "onnx")
    return {"corruptions": ("family", "stochastic"), "metrics": ("unit", "better")}.get(group, ())


def _facts(group: str, entry: Any) -> tuple[str, ...]:
    stochastic = "yes" if getattr(entry, "stochastic", False) else "no"
    if group in ("restorers", "classifiers", "fusions"):
        return (str(entry.gradient), stochastic, "yes" if entry.onnx == "ok" else f"no: {entry.onnx}")
    if group == "metrics":
        display = entry.shown()
        return (display.unit, display.better or "neither")
    return (entry.group, stochastic) if group == "corruptions" else ()


def show_command(kind: str, *, whole: bool = False) -> None:
    """Print the fields of a kind, or the card of weights: what matters in it, or the whole as JSON."""
    found = [(name, registry[kind]) for name, registry in GROUPS.items() if kind in registry.kinds]
    cards = [weights.card for weights in shipped() if weights.folder.name == kind]
    if not found and not cards and (on_hub(kind) or Path(kind).is_dir()):
        cards = [find(kind).card]
    if not found and not cards:
        known = [k for registry in GROUPS.values() for k in registry.kinds] + [
            w.folder.name for w in shipped()
        ]
        guess = near_miss(kind, known).partition("known: ")[0] + "see 'clearsight list'"
        raise ConfigError(f"no kind or weights called '{kind}'", hint=guess)
    for name, entry in found:
        _show_kind(name, entry)
    for card in cards:
        if whole:
            console().print_json(data=card)
        else:
            _show_card(card, kind)


def _show_card(card: dict[str, Any], weights: str) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    screen.print(str(card["id"]), style="bold", markup=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for heading, text in card_lines(card, weights):
        table.add_row("" if heading == before else heading, Text(text))
        before = heading
    screen.print(table)
    screen.print(f"everything: clearsight show {weights} --json", markup=False, soft_wrap=True)


def _show_kind(group: str, entry: type[Spec]) -> None:
    from rich.table import Table

    describe_fields(Spec)
    screen = console()
    screen.print(
        f"{entry.model_fields['kind'].default} ({group}), revision {entry.revision}",
        style="bold",
        markup=False,
    )
    screen.print(getdoc(entry) or "", markup=False)
    if issubclass(entry, PartSpec):
        screen.print(
            f"gradient: {entry.gradient}; stochastic: {entry.stochastic}; onnx: {entry.onnx}", markup=False
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("field", "default", "type", "meaning"):
        table.add_column(heading, overflow="fold")
    properties = entry.model_json_schema()["properties"]
    for name, about in entry.model_fields.items():
        if name == "kind":
            continue
        default = "(needed)" if about.is_required() else str(about.get_default(call_default_factory=True))
        table.add_row(name, default, _type(properties[name]), about.description or "", style=None)
    screen.print(table)


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    if "anyOf" in node:
        return " | ".join(dict.fromkeys(_type(option) for option in node["anyOf"]))
    text = str(node.get("type", node.get("$ref", "any").rpartition("/")[2]))
    bounds = [
        f"{sign}{node[name]}"
        for name, sign in (
            ("minimum", ">= "),
            ("exclusiveMinimum", "> "),
            ("maximum", "<= "),
            ("exclusiveMaximum", "< "),
        )
        if name in node
    ]
    return f"{text} ({', '.join(bounds)})" if bounds else text
