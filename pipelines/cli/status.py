"""``clearsight status``: how far a run is, once or until it ends."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from clearsight.data.home import expanded
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.runs.status import RunStatus, status_of
from clearsight.pipelines.runs.sweep_status import SweepStatus, sweep_status_of
from clearsight.pipelines.runs.swept import SWEEP


def command(path: Path, *, follow: bool, every: float) -> RunStatus | SweepStatus:
    """Print how far a run is.

    Args:
        path: the folder of a run or a sweep.
        follow: print again until it is complete or stopped.
        every: seconds between two looks.

    Returns:
        The last look.

    Raises:
        RunError: it is no such folder.
    """
    screen, path = console(), expanded(path)
    while True:
        status = sweep_status_of(path) if (path / SWEEP).is_file() else status_of(path)
        for line in status.lines():
            screen.print(line, markup=False, soft_wrap=True)
        if not follow or status.complete or status.stopped:
            return status
        sleep(every)
