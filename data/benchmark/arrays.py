"""Layout ``cifar_c``: one array per corruption, assembled from the parts that the units write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark import checksums
from clearsight.data.benchmark.job import (
    CHUNK,
    CorruptJob,
    CorruptUnit,
    Report,
    corrupted,
    one_shape,
    verified,
)
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.disk import LOCAL
from clearsight.data.executors.contract import Sent, shared_by
from clearsight.data.home import replace_file, temporary_path
from clearsight.data.seals import stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABELS = "labels.npy"
PARTS = f".parts{CHUNK}"
"""Folder of finished pieces of the arrays of layout ``cifar_c``; deleted at the end."""


def write_arrays(job: CorruptJob, unit: CorruptUnit, sent: Sent | None = None) -> Report:
    """Write a unit's part, uint8 (5, n, h, w, 3), of every array not yet there."""
    import numpy as np

    unit = verified(job, unit) if sent is None else unit
    disk = LOCAL if sent is None else sent.disk
    read = shared_by(sent, lambda: job.source.read(unit.entries, unit.digests))

    report = Report()
    samples: list[Sample] = []
    for sample in read:
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
    for kind, places in by_kind(job).items():
        name = part_name(kind, unit.number)
        if kind in job.finished:
            continue
        if name in unit.known:
            report.sums[name] = unit.known[name]
            continue
        made = np.stack([np.stack([corrupted(job, place, sample) for sample in samples]) for place in places])
        content = _npy(made)
        disk.write(job.out / name, content)
        report.sums[name] = checksums.sha256(content)
        report.made += len(places) * len(samples)
    return report


def by_kind(job: CorruptJob) -> dict[str, list[int]]:
    """Return the positions of each kind's corruptions, severity 1 first."""
    found: dict[str, list[int]] = {}
    for place in sorted(range(len(job.corruptions)), key=lambda place: job.corruptions[place].severity):
        found.setdefault(kind_of(job.corruptions[place]), []).append(place)
    return found


def part_name(kind: str, number: int) -> str:
    """Return where, below the benchmark, a unit's part of one array lies until all are there."""
    return f"{PARTS}/{kind}/{number:06d}.npy"


def discard_damaged(job: CorruptJob) -> None:
    """Delete finished arrays that are not what an earlier call wrote: they are made again."""
    known = checksums.known(job.out)
    for kind in by_kind(job):
        path = job.out / f"{kind}.npy"
        if stored(path) != known.get(path.name, ""):
            path.unlink(missing_ok=True)


def finished_kinds(job: CorruptJob) -> frozenset[str]:
    """Return the kinds whose arrays are put together."""
    return frozenset(kind for kind in by_kind(job) if (job.out / f"{kind}.npy").exists())


def _npy(array: NDArray[np.generic]) -> bytes:
    import io

    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def finish_cifar(job: CorruptJob, report: Report) -> dict[str, str]:
    """Put the parts together: one array a kind, and the labels; then delete the parts.

    Returns:
        File name -> checksum of what the benchmark holds.

    Raises:
        DataError: no image can be used, or a part is not what was written.
    """
    import shutil

    import numpy as np

    if report.shape is None:
        raise DataError("no image of the source could be used", where=str(job.out))
    known, sums = checksums.known(job.out), {}
    for kind in by_kind(job):
        path = job.out / f"{kind}.npy"
        if path.exists():
            sums[path.name] = known[path.name]
        else:
            sums[path.name] = _assemble(job, kind, report, path)
            checksums.add(job.out, {path.name: sums[path.name]})
            shutil.rmtree(job.out / PARTS / kind, ignore_errors=True)
    integer = np.uint8 if len(job.classes) <= 256 else np.int64
    labels = _npy(np.tile(np.array(report.labels, integer), 5))
    replace_file(job.out / LABELS, labels)
    shutil.rmtree(job.out / PARTS, ignore_errors=True)
    return sums | {LABELS: checksums.sha256(labels)}


def _reserve(path: Path) -> None:
    """Allocate a file's disk blocks: writing to a memory map on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _assemble(job: CorruptJob, kind: str, report: Report, path: Path) -> str:
    """Copy the parts of one array to their places in it, and return its checksum."""
    import io

    import numpy as np

    total, first = sum(report.counts), 0
    temporary = temporary_path(path)
    whole = np.lib.format.open_memmap(temporary, "w+", np.uint8, (5 * total, *(report.shape or ())))
    _reserve(temporary)
    for number, count in enumerate(report.counts):
        if count:
            name = part_name(kind, number)
            content = (job.out / name).read_bytes()
            if checksums.sha256(content) != report.sums[name]:
                raise DataError("is damaged", where=str(job.out / name), hint="run again: it is made again")
            part = np.load(io.BytesIO(content), allow_pickle=False)
            for severity in range(5):
                start = severity * total + first
                whole[start : start + count] = part[severity]
            first += count
    whole.flush()
    del whole
    os.replace(temporary, path)
    return stored(path) or ""
