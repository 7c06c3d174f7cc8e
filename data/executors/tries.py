"""Units on their way to another machine: how often each was tried, and why a try failed."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from clearsight.data.executors.resources import Resources

TRIES = 3
"""Tries of a unit whose process dies or that takes too long."""
DEATHS = 20
"""Machines that may die under a unit, which is not the unit's fault."""


@dataclass
class Try:
    """One unit on its way.

    Attributes:
        tag: number of the try.
        node: machine that it runs on, as soon as that is known.
        since: when it began there, by the driver's clock.
        late: whether it was stopped because it took too long.
    """

    unit: Any
    tag: int
    failures: int = 0
    deaths: int = 0
    node: str = ""
    since: float = inf
    late: bool = False


def reason_of(error: Exception, trial: Try, asked: Resources) -> str:
    """Return why a try failed, in words."""
    if trial.late:
        return f"it was not done after {asked.seconds:g} s"
    name = type(error).__name__
    known = {
        "NodeDiedError": "its machine died",
        "OutOfMemoryError": "its machine ran out of memory",
        "WorkerCrashedError": "its process died (out of memory, or killed)",
    }
    return known.get(name, f"{name}: {str(error).strip().partition(chr(10))[0]}")
