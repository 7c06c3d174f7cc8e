"""Cells that another run has measured already: their files are taken over instead of measured again.

A cell's key holds everything that decides its rows, so that equal keys in two run folders mean equal rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal
from clearsight.pipelines.evaluation.ood import job_of
from clearsight.pipelines.evaluation.plan import Plan


def take_over(plan: Plan, others: Path) -> int:
    """Copy the chunks that a run lacks from other runs of a folder; return how many.

    Args:
        plan: the run.
        others: folder of run folders; the run's own may be among them.
    """
    own = plan.job.folder
    folders = [RunFolder(path) for path in sorted(others.iterdir()) if path.is_dir() and path != own.path]
    return sum(any(_taken(seal, own, other) for other in folders) for seal in _missing(plan))


def _missing(plan: Plan) -> Iterator[Seal]:
    jobs = [(plan.job, plan.every_cell)]
    for job, cells in [*jobs, *((job_of(plan, other), other.cells) for other in plan.others)]:
        for cell in cells:
            for number in range(job.chunks):
                seal = job.seal(cell, number)
                if not seal.path.exists():
                    yield seal


def _taken(seal: Seal, own: RunFolder, other: RunFolder) -> bool:
    """Copy the files of one chunk, checked; return whether the other run has it whole."""
    path = other.path / seal.path.relative_to(own.path)
    if not path.exists():
        return False
    try:
        found = Seal(other.path, path, seal.about).opened()
        contents = {name: found.read(other.path / name) for name in found.files}
    except RunError:
        return False
    for name, content in contents.items():
        seal.write(own.path / name, content)
    # Last, because it is what marks the chunk as done.
    seal.close()
    return True
