"""Errors that a user can act on: what went wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ClearsightError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        what: one sentence that says what is wrong.
        where: file, line, field or sample that it is wrong in.
        hint: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        """Keep the three pieces apart so that callers can add a place later."""
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        """Return one line: ``where: what; hint``."""
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"


class ConfigError(ClearsightError):
    """A configuration that cannot be run as written."""


class DataError(ClearsightError):
    """A data set, image or label that cannot be used."""


class WeightsError(ClearsightError):
    """A weights file that is missing, damaged or does not fit the network."""


class ShapeError(ClearsightError):
    """An image batch whose shape, type or range a part cannot take."""


class AttackError(ClearsightError):
    """An attack that cannot be carried out, or that left its own bounds."""


class RunError(ClearsightError):
    """A run that cannot continue (its folder is damaged, a worker died)."""


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return a hint such as ``did you mean 'fog'? known: fog, frost``."""
    options = sorted(known)
    close = get_close_matches(word, options, n=1, cutoff=0.6)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}known: {', '.join(options)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something, or else the name of its type."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
