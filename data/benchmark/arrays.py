"""Layout ``cifar_c``: one array a corruption, made from parts that the units leave behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark.job import CHUNK, CorruptJob, CorruptUnit, Report, corrupted, one_shape
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.home import replace_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARTS = f".parts{CHUNK}"
"""Folder of finished pieces of the arrays of layout ``cifar_c``; deleted in the end."""


def write_arrays(job: CorruptJob, unit: CorruptUnit) -> Report:
    """Write a unit's part, uint8 (5, n, h, w, 3), of every array not yet there."""
    import numpy as np

    report = Report()
    samples: list[Sample] = []
    for sample in job.source.read(unit.entries):
        if isinstance(sample, Skipped):
            report.skipped.append(sample)
        elif sample.truth is None:
            report.skipped.append(Skipped(sample.id, "has no label"))
        else:
            report.shape = one_shape(report.shape, sample.image.shape)
            report.labels.append(sample.truth)
            samples.append(sample)
    report.counts.append(len(samples))
    if not samples:
        return report
    for name, places in _by_kind(job).items():
        part = part_path(job, name, unit.number)
        if (job.out / f"{name}.npy").exists() or _count(part, axis=1) == len(samples):
            continue
        made = np.stack([np.stack([corrupted(job, place, sample) for sample in samples]) for place in places])
        replace_file(part, _npy(made))
        report.made += len(places) * len(samples)
    return report


def _by_kind(job: CorruptJob) -> dict[str, list[int]]:
    """Return the positions of each kind's corruptions, severity 1 first."""
    found: dict[str, list[int]] = {}
    for place in sorted(range(len(job.corruptions)), key=lambda place: job.corruptions[place].severity):
        found.setdefault(kind_of(job.corruptions[place]), []).append(place)
    return found


def part_path(job: CorruptJob, name: str, number: int) -> Path:
    """Return where a unit's part of one array lies until all are there."""
    return job.out / PARTS / name / f"{number:06d}.npy"


def _count(path: Path, axis: int) -> int:
    """Return an array file's length along an axis, 0 where there is no such file."""
    import numpy as np

    return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[axis]) if path.exists() else 0


def _npy(array: NDArray[np.generic]) -> bytes:
    import io

    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def finish_cifar(job: CorruptJob, report: Report) -> None:
    """Put the parts together: one array a kind, and the labels; then delete the parts."""
    import shutil

    import numpy as np

    total = sum(report.counts)
    if report.shape is None:
        raise DataError("no image of the source could be used", where=str(job.out))
    for name in _by_kind(job):
        path = job.out / f"{name}.npy"
        if not path.exists():
            _assemble(job, name, report, path)
        elif _count(path, axis=0) != 5 * total:
            raise DataError(f"does not hold {5 * total} images", where=str(path), hint="delete it, run again")
    kind = np.uint8 if len(job.classes) <= 256 else np.int64
    labels = np.tile(np.array(report.labels, kind), 5)
    replace_file(job.out / "labels.npy", _npy(labels))
    shutil.rmtree(job.out / PARTS, ignore_errors=True)


def _assemble(job: CorruptJob, name: str, report: Report, path: Path) -> None:
    """Copy the parts of one array to their places in it, then delete them."""
    import shutil

    import numpy as np

    total, first = sum(report.counts), 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    whole = np.lib.format.open_memmap(temporary, "w+", np.uint8, (5 * total, *(report.shape or ())))
    for number, count in enumerate(report.counts):
        if count:
            part = np.load(part_path(job, name, number), allow_pickle=False)
            for severity in range(5):
                start = severity * total + first
                whole[start : start + count] = part[severity]
            first += count
    whole.flush()
    del whole
    os.replace(temporary, path)
    shutil.rmtree(job.out / PARTS / name, ignore_errors=True)
