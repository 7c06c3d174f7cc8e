"""How far a sweep is, from its folder alone. No torch, no pyarrow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clearsight.pipelines.runs.folder import read_json
from clearsight.pipelines.runs.status import RunStatus, status_of
from clearsight.pipelines.runs.swept import SWEEP, runs_of


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is.

    Attributes:
        path: its folder.
        done, total: runs.
        present: the run that is not complete; None between two.
    """

    path: Path
    done: int
    total: int
    present: RunStatus | None

    @property
    def complete(self) -> bool:
        """Return whether all runs are."""
        return self.done == self.total

    @property
    def stopped(self) -> str:
        """Return how the present run ended before its end; empty where it did not."""
        return self.present.stopped if self.present else ""

    def lines(self) -> list[str]:
        """Return what a person reads."""
        state = "complete, " if self.complete else ""
        head = f"{self.path}: {state}{self.done} of {self.total} runs of the sweep"
        return [head, *(self.present.lines() if self.present else [])]


def sweep_status_of(path: Path) -> SweepStatus:
    """Return how far a sweep is.

    Raises:
        RunError: its list of runs is damaged.
    """
    total = len(read_json(path / SWEEP)["runs"])
    found = [status_of(run) for run in runs_of(path)]
    present = [status for status in found if not status.complete]
    return SweepStatus(path, len(found) - len(present), total, present[-1] if present else None)
