"""``DONE``: the seal of what a complete run wrote; every reader of a run checks it first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal

UNFINISHED = "give the folder that a run printed; an interrupted run continues when it is started again"


def mark_complete(folder: RunFolder) -> None:
    """Write ``DONE``, which vouches for everything that is made of the chunks."""
    seal = Seal(folder.path, folder.done)
    shown = (
        *(folder.config, folder.environment, folder.skipped, folder.report, folder.audit),
        *(folder.certificates, folder.certificates_csv, folder.ood, folder.ood_csv),
    )
    for path in (*_required(folder), *shown, *sorted(folder.images.glob("[!.]*"))):
        if path.is_file():
            seal.vouch(path, path.read_bytes())
    seal.close()


def revouch(folder: RunFolder, *paths: Path) -> Path:
    """Vouch for files of a complete run that were written anew; return the first of them."""
    seal = complete(folder)
    for path in paths:
        seal.vouch(path, path.read_bytes())
    seal.close()
    return paths[0]


def is_complete(folder: RunFolder) -> bool:
    """Return whether the run is complete, and every file that it wrote is what it was."""
    try:
        seal = Seal(folder.path, folder.done).opened()
        seal.check()
    except RunError:
        return False
    return all(map(seal.checksum, (*_required(folder), folder.report)))


def complete(folder: RunFolder) -> Seal:
    """Return the seal of a complete run, which reads its files.

    Raises:
        RunError: the run is not complete, or an older version made it.
    """
    if not folder.done.is_file():
        raise RunError("is not the folder of a finished run", where=str(folder.path), hint=UNFINISHED)
    return Seal(folder.path, folder.done).opened()


def read_summary(folder: RunFolder) -> dict[str, Any]:
    """Return what ``summary.json`` of a complete run holds.

    Raises:
        RunError: the run is not complete, or the file is not what it wrote.
    """
    content: dict[str, Any] = json.loads(complete(folder).read(folder.summary))
    return content


def _required(folder: RunFolder) -> tuple[Path, ...]:
    return (folder.resolved, folder.results, folder.timings, folder.summary, folder.summary_csv)
