"""How far a run is, from its folder alone: for looking on from another terminal. No torch, no pyarrow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.text import duration
from clearsight.pipelines.runs.folder import read_json

STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ (\w+) (.*)$")
QUIET = 120.0
"""Seconds without a new chunk after which a run is not simply called running."""


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        path: its folder.
        done, total: chunks of cells.
        cells_done, cells: cells whose chunks are all there, and all cells.
        complete: whether it has written its report.
        stopped: what the log says of how it ended before its end; empty where it did not.
        idle: seconds since it last wrote a chunk, or was begun; None where that is not known.
        left: estimated seconds to go; None where there is nothing to estimate from.
        early: whether conditions may end before they have seen all images: ``total`` is an upper bound.
    """

    path: Path
    done: int
    total: int
    cells_done: int
    cells: int
    complete: bool
    stopped: str
    idle: float | None
    left: float | None
    early: bool

    @property
    def state(self) -> str:
        """Return ``complete``, ``stopped``, ``running`` or ``running or killed``."""
        if self.complete:
            return "complete"
        if self.stopped:
            return f"stopped: {self.stopped}"
        return "running" if self.idle is not None and self.idle < QUIET else "running or killed"

    def lines(self) -> list[str]:
        """Return what a person reads."""
        bound = "at most " if self.early else ""
        share = 100 * self.done / self.total if self.total else 100.0
        out = [
            f"{self.path}: {self.state}",
            f"{self.done} of {bound}{self.total} chunks ({share:.0f} %),"
            f" {self.cells_done} of {self.cells} cells",
        ]
        if not self.complete:
            if self.idle is not None:
                out.append(f"last result {duration(self.idle)} ago")
            if self.left is not None and not self.stopped:
                out.append(f"about {duration(self.left)} to go")
            out.append(f"figures so far: clearsight report {self.path}")
        return out


def status_of(path: Path) -> RunStatus:
    """Return how far a run is.

    Args:
        path: the run folder.

    Raises:
        RunError: it is no run folder, or the run has not yet written what it measures.
    """
    folder = RunFolder(path)
    if not folder.resolved.is_file():
        raise RunError(
            "is no folder of a run that has begun to measure",
            where=str(path),
            hint="give a folder below runs/; a run writes it after it has read the images",
        )
    told = read_json(folder.resolved)
    keys, chunks = _cells(told), int(told.get("chunks", 0))
    counts = [len(folder.done_chunks(key)) for key in keys]
    seals = [path.stat().st_mtime for path in folder.cells.glob("*/seal-[0-9]*.json")]
    begun, todo, stopped = _log(folder.log)
    done, total = sum(counts), chunks * len(keys)
    complete = folder.done.is_file()
    latest = max(seals, default=begun)
    return RunStatus(
        path=path,
        done=done,
        total=total,
        cells_done=sum(count >= chunks for count in counts),
        cells=len(keys),
        complete=complete,
        stopped="" if complete else stopped,
        idle=None if latest is None else max(0.0, time() - latest),
        left=None if complete else _left(total - done, todo, begun, latest),
        early=bool((told.get("config") or {}).get("stop")),
    )


def _cells(told: Mapping[str, Any]) -> list[str]:
    return [str(cell["key"]) for name in ("cells", "certified") for cell in told.get(name) or ()]


def _log(path: Path) -> tuple[float | None, int, str]:
    """Return when the last call began, how many chunks it had to do, and how it was stopped."""
    begun, todo, stopped = None, 0, ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        match = STAMP.match(line)
        if match is None:
            continue
        words = match[3]
        if counted := re.match(r"(?:at most )?(\d+) of \d+ chunks to compute", words):
            begun = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").astimezone().timestamp()
            todo, stopped = int(counted[1]), ""
        elif words.startswith("stopped: "):
            stopped = words.removeprefix("stopped: ")
    return begun, todo, stopped


def _left(missing: int, todo: int, begun: float | None, latest: float | None) -> float | None:
    """Return the seconds that the missing chunks take at the pace of this call so far."""
    made = todo - missing
    if begun is None or latest is None or made <= 0:
        return None
    return (latest - begun) / made * missing
