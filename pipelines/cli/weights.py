"""``clearsight weights``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearsight.data.contract.errors import ClearsightError, WeightsError, first_line
from clearsight.data.weights import Weights, find, shipped, verify
from clearsight.pipelines.cli.console import console


def list_command() -> None:
    """Print the shipped weights with what their cards measured."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "kind", "data", "figures", "licence"):
        table.add_column(heading, overflow="fold")
    for weights in shipped():
        card = weights.card
        found = {name: figure for name, figure in card["figures"].items() if isinstance(figure, dict)}
        figures = "; ".join(f"{name} {headline(figure)}" for name, figure in found.items())
        table.add_row(card["id"], card["spec"]["kind"], card["data"]["about"], figures, card["licence"])
    console().print(table)


def headline(figure: Mapping[str, Any]) -> str:
    """Return the figures of one part of a card in words: accuracy, or what each condition measured."""
    if "accuracy" in figure:
        return _share(figure, "accuracy")
    # A figure may hold more than conditions: robust accuracy, the best and the last weights.
    figures = []
    if "coverage" in figure:
        held, size = _share(figure["coverage"], "value"), figure["set_size"]["value"]
        return f"{held} of sets hold the true class, of {size:.2f} classes on average"
    if "answered" in figure:
        answered = f"{_share(figure['answered'], 'value')} are answered"
        right = figure.get("selective_accuracy")
        return f"{answered}, {_share(right, 'value')} of them right" if right else answered
    for name, entry in figure.items():
        if isinstance(entry, dict) and "agreement" in entry:
            figures.append(f"{name} {_share(entry, 'agreement')} agreement")
        elif isinstance(entry, dict) and "named" in entry:
            figures.append(f"{name} named {_share(entry, 'named')}")
        elif isinstance(entry, dict) and "left_alone" in entry:
            figures.append(f"{name} left alone {_share(entry, 'left_alone')}")
        elif isinstance(entry, dict) and "ece" in entry:
            figures.append(f"{name} {_share(entry['ece'], 'value')} ECE")
        elif isinstance(entry, dict) and "psnr" in entry:
            figures.append(f"{name} {entry['psnr']:.2f} dB [{entry['low']:.2f}, {entry['high']:.2f}]")
    return ", ".join(figures)


def _share(figure: Mapping[str, Any], name: str) -> str:
    return f"{100 * figure[name]:.1f} % [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"


def verify_command(names: Sequence[str]) -> None:
    """Check checksums and load each state into its network; every failure is named, then exit 1."""
    found = [find(name) for name in names] if names else list(shipped())
    screen, bad = console(), 0
    for weights in found:
        try:
            check(weights)
        except ClearsightError as error:
            bad += 1
            screen.print(f"BAD   {weights.folder.name}: {error}", markup=False, soft_wrap=True)
        else:
            screen.print(
                f"fine  {weights.folder.name}  sha256 {weights.sha256}", markup=False, soft_wrap=True
            )
    if bad:
        raise WeightsError(f"{bad} of {len(found)} weights are not usable")


def check(weights: Weights) -> None:
    """Raise `WeightsError` unless the file has the checksum of its card and loads into its network."""
    verify(weights)
    _load(str(weights.folder), weights.card["spec"])


def _load(folder: str, spec: dict[str, object]) -> None:
    from clearsight.pipelines.config.registries import BUILDABLE
    from clearsight.pipelines.config.trust import foreign_code

    try:
        part = BUILDABLE.parse(spec | {"weights": folder})
        # Weights may be untrusted: verifying them must not execute code that their card names.
        if found := foreign_code(part, installed=False):
            raise WeightsError(f"not loaded, because loading executes code: {found[0]}", where=folder)
        part.build()
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"does not load: {first_line(error)}", where=folder) from None
