"""The work behind `write_benchmark`: chunks of images, done by processes, resumable at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark.arrays import PARTS, write_arrays
from clearsight.data.benchmark.job import CHUNK, Job, Report, Task, corrupted, one_shape
from clearsight.data.benchmark.names import file_names, folder_names
from clearsight.data.contract.errors import RunError, ShapeError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
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
    job: Job, entries: Sequence[Entry], workers: int, on_progress: Callable[[int, int], None]
) -> Report:
    """Do all tasks, here or in ``workers`` processes (0: one a core), and sum their reports."""
    names = file_names(entries)
    tasks = [
        Task(start // CHUNK, tuple(entries[start : start + CHUNK]), tuple(names[start : start + CHUNK]))
        for start in range(0, len(entries), CHUNK)
    ]
    _folders(job)
    workers = min(workers or _cores(), len(tasks))
    reports: dict[int, Report] = {}
    done = 0
    shape: tuple[int, ...] | None = None
    # Closed at once when anything goes wrong: a traceback would keep the processes alive.
    with closing(_here(job, tasks) if workers <= 1 else _spread(job, tasks, workers)) as finished:
        for task, report in finished:
            reports[task.number] = report
            shape = one_shape(shape, report.shape)
            done += len(task.entries)
            on_progress(done, len(entries))
    total = Report(shape=shape)
    for _, report in sorted(reports.items()):
        total.made += report.made
        total.labels += report.labels
        total.skipped += report.skipped
        total.counts += report.counts
    return total


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _here(job: Job, tasks: Sequence[Task]) -> Generator[tuple[Task, Report], None, None]:
    for task in tasks:
        yield task, _do(job, task)


def _spread(job: Job, tasks: Sequence[Task], workers: int) -> Generator[tuple[Task, Report], None, None]:
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (job,)) as pool:
        running = {pool.submit(_do_mine, task): task for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool:
            raise RunError(
                "a worker process died",
                where=str(job.out),
                hint="free memory or use fewer workers; run again",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_MINE: list[Job] = []
"""The job of this worker process."""


def _begin(job: Job) -> None:
    import cv2

    # The images are the parallel axis; threads inside each would only fight for the cores.
    cv2.setNumThreads(1)
    _MINE[:] = [job]


def _do_mine(task: Task) -> Report:
    return _do(_MINE[0], task)


def _do(job: Job, task: Task) -> Report:
    return write_arrays(job, task) if job.layout == "cifar_c" else _write_files(job, task)


def _folders(job: Job) -> None:
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


def _write_files(job: Job, task: Task) -> Report:
    """Layout ``imagenet_c``: write the files of a task that are not there yet."""
    report = Report()
    ending = "png" if job.image_format == "png" else "jpg"
    folders = folder_names(job.classes)
    for entry, name in zip(task.entries, task.names, strict=True):
        label = folders[entry.label] if folders and entry.label is not None else ""
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
