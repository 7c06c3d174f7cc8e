"""Which figures under attack can be believed: marks of flag, and gains that prove nothing.

An attack can only show that an image falls; that one stands may be the attack's weakness. So a figure that
a truth check condemned, or that comes from an attacker who did not know the whole system, is a bound from
above: a gain that rests on it proves nothing, while a loss still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LIMITED = frozenset({"oblivious", "transfer"})
"""Threat models in which the attacker works on something else than the system."""
VOID = "void"
"""The verdict of a clear difference that proves nothing."""
ORDER = ("", "suspect", "unreliable")


def flag_of(cell: Mapping[str, Any]) -> str:
    """Return ``unreliable``, ``suspect`` or nothing for a cell."""
    verdicts = [str(check["verdict"]) for check in cell.get("checks") or ()]
    return worst_of([*verdicts, "unreliable" if cell.get("reliable") is False else ""])


def worst_of(flags: Iterable[str]) -> str:
    """Return the gravest of several flags."""
    return max((d for d in flags if d in ORDER), key=ORDER.index, default="")


def judged(entry: Mapping[str, Any], *, overrated: bool, against: bool) -> Mapping[str, Any]:
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
