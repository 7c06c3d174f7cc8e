"""The work behind `write_benchmark`: chunks of images, done by processes, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark.arrays import PARTS, write_arrays
from clearsight.data.benchmark.job import CHUNK, CorruptJob, CorruptUnit, Report, corrupted, one_shape
from clearsight.data.benchmark.names import file_names, folder_names
from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.executors import executor_for
from clearsight.data.home import replace_file
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
    job: CorruptJob, entries: Sequence[Entry], workers: int, on_progress: Callable[[int, int], None]
) -> Report:
    """Do all units, here or in ``workers`` processes (0: one a core), and sum their reports."""
    names = file_names(entries)
    units = [
        CorruptUnit(
            start // CHUNK, tuple(entries[start : start + CHUNK]), tuple(names[start : start + CHUNK])
        )
        for start in range(0, len(entries), CHUNK)
    ]
    _folders(job)
    executor = executor_for(units, workers, where=str(job.out))
    reports: dict[int, Report] = {}
    done = 0
    shape: tuple[int, ...] | None = None
    # Closed at once when anything goes wrong: a traceback would keep the processes alive.
    with closing(executor.map(start_corrupting, job, units)) as finished:
        for unit, report in finished:
            reports[unit.number] = report
            shape = one_shape(shape, report.shape)
            done += len(unit.entries)
            on_progress(done, len(entries))
    total = Report(shape=shape)
    for _, report in sorted(reports.items()):
        total.made += report.made
        total.labels += report.labels
        total.skipped += report.skipped
        total.counts += report.counts
    return total


def start_corrupting(job: CorruptJob) -> Callable[[CorruptUnit], Report]:
    """Return what does one unit of a job."""
    return partial(write_arrays if job.layout == "cifar_c" else _write_files, job)


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


def _write_files(job: CorruptJob, unit: CorruptUnit) -> Report:
    """Layout ``imagenet_c``: write the files of a unit that are not there yet."""
    report = Report()
    ending = "png" if job.image_format == "png" else "jpg"
    folders = folder_names(job.classes)
    for entry, name in zip(unit.entries, unit.names, strict=True):
        label = folders[entry.truth] if folders and entry.truth is not None else ""
        paths = [
            job.out / kind_of(corruption) / str(corruption.severity) / label / f"{name}.{ending}"
            for corruption in job.corruptions
        ]
        missing = [place for place, path in enumerate(paths) if not path.exists()]
        if not missing:
            continue
        (sample,) = job.source.read([entry])
        if isinstance(sample, Sample):
            try:
                for place in missing:
                    replace_file(paths[place], _encode(corrupted(job, place, sample), job.image_format))
            except ShapeError as error:
                sample = Skipped(entry.id, str(error))
        if isinstance(sample, Skipped):
            report.skipped.append(sample)
            # An image is in the benchmark under every corruption or under none.
            for path in paths:
                path.unlink(missing_ok=True)
            continue
        report.made += len(missing)
    return report


def _encode(image: NDArray[np.uint8], image_format: str) -> bytes:
    from clearsight.data.media.images import encode_jpeg

    if image_format == "jpeg":
        return encode_jpeg(image, QUALITY)
    import cv2

    # Level 1 takes a third of the time of the usual 6 and a few per cent more room.
    shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    return bytes(cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
