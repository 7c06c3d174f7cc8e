"""``clearsight status``: how far a run is, once or until it ends."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from clearsight.data.home import expanded
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.runs.status import RunStatus, status_of


def command(path: Path, *, follow: bool, every: float) -> RunStatus:
    """Print how far a run is.

    Args:
        path: the run folder.
        follow: print again until the run is complete or stopped.
        every: seconds between two looks.

    Returns:
        The last look.

    Raises:
        RunError: it is no run folder.
    """
    screen = console()
    while True:
        status = status_of(expanded(path))
        for line in status.lines():
            screen.print(line, markup=False, soft_wrap=True)
        if not follow or status.complete or status.stopped:
            return status
        sleep(every)
