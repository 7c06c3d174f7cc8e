"""Names of files and other foreign words as text that can be stored, shown, or put into a table."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n", "'")
"""How a formula begins in spreadsheets (full-width signs too), and the quote that guards against it."""


def printable(name: str) -> str:
    """Return a file name as valid text: bytes that are not UTF-8 are written as escapes."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def shown(text: str) -> str:
    """Return text for terminals and logs, with undecodable bytes and control characters as escapes."""
    if text.isprintable():
        return text
    try:
        plain = os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        plain = text
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in plain)


def shown_lines(text: str) -> str:
    """Do what `shown` does with text of several lines."""
    return "\n".join(map(shown, text.split("\n")))


def _harmless(character: str) -> bool:
    # Spaces of other widths are not printable to Python.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def cell(text: str) -> str:
    """Return a name as a cell of a CSV file: with ``'`` before it where a spreadsheet would compute it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as the text of a CSV file; names in them have gone through `cell`."""
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def from_cell(text: str) -> str:
    """Return the name that was given to `cell`."""
    return text.removeprefix("'")


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
