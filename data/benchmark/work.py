"""The work behind `write_benchmark`: chunks of images, done by processes, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark import checksums
from clearsight.data.benchmark.arrays import PARTS, by_kind, part_name, write_arrays
from clearsight.data.benchmark.job import (
    CHUNK,
    CorruptJob,
    CorruptUnit,
    Report,
    corrupted,
    one_shape,
    verified,
)
from clearsight.data.benchmark.names import file_names, folder_names
from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.disk import LOCAL
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.contract import Parcel, Sent
from clearsight.data.sources.base import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUALITY = 85
"""JPEG quality that ImageNet-C was stored with."""


def tidy(out: Path) -> None:
    """Delete temporary files that a killed run left behind."""
    for path in out.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def run_all(
    job: CorruptJob,
    entries: Sequence[Entry],
    digests: Sequence[str],
    workers: int,
    on_progress: Callable[[int, int], None],
    backend: Backend | None = None,
) -> Report:
    """Do all units, here or in ``workers`` processes (0: one a core), and sum their reports.

    Files whose checksum an earlier call noted are kept where they still have it; ``digests`` say what each
    image held when the benchmark was begun.
    """
    names, known = file_names(entries), checksums.known(job.out)
    units = []
    for start in range(0, len(entries), CHUNK):
        part = slice(start, start + CHUNK)
        unit = CorruptUnit(start // CHUNK, tuple(entries[part]), tuple(digests[part]), tuple(names[part]))
        if known:
            mine = {name: known[name] for name in _files(job, unit) if name in known}
            unit = replace(unit, known=mine)
        units.append(unit)
    _folders(job)
    executor = executor_for(units, workers, where=str(job.out), backend=backend)
    reports: dict[int, Report] = {}
    done = 0
    shape: tuple[int, ...] | None = None
    # Closed at once when anything goes wrong: a traceback would keep the processes alive.
    with closing(executor.map(start_corrupting, job, units, partial(_packed, job))) as finished:
        for unit, report in finished:
            reports[unit.number] = report
            shape = one_shape(shape, report.shape)
            checksums.add(job.out, report.sums)
            done += len(unit.entries)
            on_progress(done, len(entries))
    total = Report(shape=shape)
    for _, report in sorted(reports.items()):
        total.made += report.made
        total.labels += report.labels
        total.skipped += report.skipped
        total.counts += report.counts
        total.sums |= report.sums
    return total


def start_corrupting(job: CorruptJob) -> Callable[..., Report]:
    """Return the function that does one unit of a job."""
    return partial(write_arrays if job.layout == "cifar_c" else _write_files, job)


def _packed(job: CorruptJob, unit: CorruptUnit) -> Parcel:
    """Return a unit with its images, for a worker that does not see this disk."""
    there = verified(job, unit)
    whole = job.layout != "cifar_c" and len(there.known) == len(unit.entries) * len(job.corruptions)

    def load() -> list[Sample | Skipped] | None:
        if job.source.everywhere:
            return None
        return [] if whole else job.source.read(unit.entries, unit.digests)

    return Parcel(there, unit.number, load, {})


def _folders(job: CorruptJob) -> None:
    if job.layout == "cifar_c":
        for name in dict.fromkeys(kind_of(corruption) for corruption in job.corruptions):
            if not (job.out / f"{name}.npy").exists():
                (job.out / PARTS / name).mkdir(parents=True, exist_ok=True)
        (job.out / PARTS).mkdir(exist_ok=True)
        return
    for corruption in job.corruptions:
        for label in folder_names(job.classes) or [""]:
            (job.out / kind_of(corruption) / str(corruption.severity) / label).mkdir(
                parents=True, exist_ok=True
            )


def _files(job: CorruptJob, unit: CorruptUnit) -> list[str]:
    """Return the paths below the benchmark of all files of a unit."""
    if job.layout == "cifar_c":
        return [part_name(name, unit.number) for name in by_kind(job)]
    folders = folder_names(job.classes)
    return [name for number in range(len(unit.entries)) for name in _names(job, unit, number, folders)]


def _names(job: CorruptJob, unit: CorruptUnit, number: int, folders: Sequence[str]) -> list[str]:
    """Return the paths of one image of a unit, one a corruption."""
    ending, truth = "png" if job.image_format == "png" else "jpg", unit.entries[number].truth
    label = f"{folders[truth]}/" if folders and truth is not None else ""
    return [
        f"{kind_of(corruption)}/{corruption.severity}/{label}{unit.names[number]}.{ending}"
        for corruption in job.corruptions
    ]


def _write_files(job: CorruptJob, unit: CorruptUnit, sent: Sent | None = None) -> Report:
    """Layout ``imagenet_c``: write the files of a unit that are not there yet, or are not what they were."""
    report, folders = Report(), folder_names(job.classes)
    unit = verified(job, unit) if sent is None else unit
    disk = LOCAL if sent is None else sent.disk
    for number, entry in enumerate(unit.entries):
        names = _names(job, unit, number, folders)
        sums = {name: unit.known[name] for name in names if name in unit.known}
        missing = [place for place, name in enumerate(names) if name not in sums]
        if not missing:
            report.sums |= sums
            continue
        if sent is None or sent.shared is None:
            (sample,) = job.source.read([entry], [unit.digests[number]])
        else:
            sample = sent.shared[number]
        if isinstance(sample, Sample):
            try:
                for place in missing:
                    content = _encode(corrupted(job, place, sample), job.image_format)
                    disk.write(job.out / names[place], content)
                    sums[names[place]] = checksums.sha256(content)
            except ShapeError as error:
                sample = Skipped(entry.id, str(error))
        if isinstance(sample, Skipped):
            report.skipped.append(sample)
            # An image is in the benchmark under every corruption or under none.
            for name in names:
                disk.remove(job.out / name)
            continue
        report.sums |= sums
        report.made += len(missing)
    return report


def _encode(image: NDArray[np.uint8], image_format: str) -> bytes:
    from clearsight.data.media.images import encode_jpeg
    from clearsight.data.media.png import encode_png_fast

    return encode_jpeg(image, QUALITY) if image_format == "jpeg" else encode_png_fast(image)
