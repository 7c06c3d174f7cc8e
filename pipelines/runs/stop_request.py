"""``clearsight stop RUN``: asks a run, from another terminal, to end after the chunks that it is at."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import replace_file
from clearsight.pipelines.runs.swept import SWEEP, runs_of


def ask_to_stop(path: Path) -> list[Path]:
    """Leave a request in the folder of a run, or in that of a sweep and of its unfinished runs.

    Returns:
        The folders that were asked.

    Raises:
        RunError: it is no folder of a run, or all is complete.
    """
    is_sweep = (path / SWEEP).is_file()
    runs = runs_of(path) if is_sweep else [path] if RunFolder(path).resolved.is_file() else []
    if not runs and not is_sweep:
        raise RunError("is no folder of a run or a sweep", where=str(path), hint="give a folder below runs/")
    asked = [run for run in runs if not RunFolder(run).done.is_file()]
    if is_sweep and asked:
        asked = [path, *asked]
    if not asked:
        raise RunError("has nothing to stop: it is complete", where=str(path))
    for folder in asked:
        replace_file(RunFolder(folder).stop, b"")
    return asked


def stop_if_asked(folder: RunFolder) -> None:
    """End a run that was asked to; the request is used up.

    Raises:
        RunError: it was asked.
    """
    if folder.stop.exists():
        folder.stop.unlink()
        raise RunError(
            "was asked to stop", where=str(folder.path), hint="give the same command again to go on"
        )
