"""Which figures under attack can be believed: marks of flag, and gains that prove nothing.

An attack can only show that an image falls; that one stands may be the attack's weakness. So a figure that
a truth check condemned, or that comes from an attacker who did not know the whole system, is a bound from
above: a gain that rests on it proves nothing, while a loss still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearsight.pipelines.report.figures import Entry, Figures

LIMITED = frozenset({"oblivious", "transfer"})
"""Threat models in which the attacker works on something else than the system."""
VOID = "void"
"""The verdict of a clear difference that proves nothing."""
ORDER = ("", "suspect", "unreliable")


@dataclass(frozen=True)
class Flag:
    """What checks found wrong with one figure, in their own words."""

    system: str
    attack: str
    condition: str
    verdict: str
    words: list[str]


def flag_of(cell: Mapping[str, Any]) -> str:
    """Return ``unreliable``, ``suspect`` or nothing for a cell."""
    verdicts = [str(check["verdict"]) for check in cell.get("checks") or ()]
    return worst_of([*verdicts, "unreliable" if cell.get("reliable") is False else ""])


def worst_of(flags: Iterable[str]) -> str:
    """Return the gravest of several flags."""
    return max((d for d in flags if d in ORDER), key=ORDER.index, default="")


def judged(entry: Entry, *, overrated: bool, against: bool) -> Entry:
    """Return an entry whose verdict is `VOID` where its difference proves nothing.

    Args:
        entry: a cell, an aggregate or a worst case with its ``versus``.
        overrated: the true figure of the system may be lower.
        against: that of the baseline may be.
    """
    versus = entry.get("versus")
    verdict = (versus or {}).get("verdict")
    if not versus or not ((verdict == "helps" and overrated) or (verdict == "hurts" and against)):
        return entry
    return {**entry, "versus": {**versus, "verdict": VOID}}


def flags(figures: Figures) -> list[Flag]:
    """Return what the checks say against figures, the unreliable ones first."""
    found = []
    for cell in figures.cells:
        verdict = flag_of(cell)
        if verdict:
            words = [c["words"] for c in cell["checks"] if c["verdict"] == verdict]
            place = figures.title(cell["condition"])
            found.append(Flag(cell["system"], cell["attack"], place, verdict, words))
    return sorted(found, key=lambda flag: -ORDER.index(flag.verdict))
