"""Which figures under attack can be believed: flags, and gains that prove nothing.

An attack can only show that an image falls; one may survive by the attack's weakness. So a figure that
a truth check condemned, or that comes from an attacker who did not know the whole system, is an upper
bound: a gain that rests on it proves nothing, while a loss still counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from clearsight.pipelines.runs.summary import CellFigures, GroupFigures, Verdict, WorstCase

LIMITED = frozenset({"oblivious", "transfer"})
"""Threat models in which the attacker works on something other than the system."""
VOID: Verdict = "void"
"""The verdict of a clear difference that proves nothing."""
ORDER = ("", "suspect", "unreliable")
Entry = TypeVar("Entry", CellFigures, GroupFigures, WorstCase)


def flag_of(cell: CellFigures) -> str:
    """Return ``unreliable``, ``suspect`` or nothing for a cell."""
    verdicts: list[str] = [check.verdict for check in cell.checks]
    return worst_of([*verdicts, "unreliable" if cell.reliable is False else ""])


def worst_of(flags: Iterable[str]) -> str:
    """Return the gravest of several flags."""
    return max((flag for flag in flags if flag in ORDER), key=ORDER.index, default="")


def judged(entry: Entry, *, overrated: bool, against: bool) -> Entry:
    """Return an entry whose verdict is `VOID` where its difference proves nothing.

    Args:
        entry: a cell, an aggregate or a worst case with its ``versus``.
        overrated: the true figure of the system may be lower.
        against: that of the baseline may be.
    """
    versus = entry.versus
    if versus is None:
        return entry
    if (versus.verdict == "helps" and overrated) or (versus.verdict == "hurts" and against):
        return replace(entry, versus=replace(versus, verdict=VOID))
    return entry
