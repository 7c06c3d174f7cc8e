"""The work behind `data.benchmark`: chunks of pictures, done by processes, resumable at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.benchmark_names import file_names, folder_names
from data.contract.errors import DataError, RunError, ShapeError
from data.contract.rng import Rng
from data.contract.sample import Sample, Skipped
from data.corruptions.base import Corruption
from data.home import replace_file
from data.sources.base import Entry, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 16
"""Pictures a task. What is made does not depend on it."""
PARTS = f".parts{CHUNK}"
"""Folder of finished pieces of the arrays of layout ``cifar_c``; deleted in the end."""
QUALITY = 85
"""JPEG quality that ImageNet-C was stored with."""


@dataclass(frozen=True)
class Job:
    """What every task needs to know; sent once to each process."""

    source: Source
    out: Path
    corruptions: tuple[Corruption, ...]
    seed: int
    layout: str
    image_format: str
    classes: tuple[str, ...]
    """Empty where there are no labels."""


@dataclass(frozen=True)
class Task:
    """A few neighbouring pictures under all corruptions.

    Attributes:
        number: position of the task.
        entries: its pictures.
        names: file name without ending of each.
    """

    number: int
    entries: tuple[Entry, ...]
    names: tuple[str, ...]


@dataclass
class Report:
    """What tasks hand back, summed in the order of their numbers."""

    made: int = 0
    labels: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    counts: list[int] = field(default_factory=list)
    """Pictures that each task put into its part of the arrays."""


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
            shape = _one_shape(shape, report.shape)
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


def _one_shape(known: tuple[int, ...] | None, new: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if known is not None and new is not None and known != new:
        raise DataError(
            f"pictures differ in size: {known[0]}x{known[1]} and {new[0]}x{new[1]}",
            hint="layout cifar_c needs equal ones: set size in the source, or use layout imagenet_c",
        )
    return known or new


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

    # The pictures are the parallel axis; threads inside each would only fight for the cores.
    cv2.setNumThreads(1)
    _MINE[:] = [job]


def _do_mine(task: Task) -> Report:
    return _do(_MINE[0], task)


def _do(job: Job, task: Task) -> Report:
    return _write_arrays(job, task) if job.layout == "cifar_c" else _write_files(job, task)


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


def kind_of(corruption: Corruption) -> str:
    """Return the kind of a corruption: the name of its folder or array."""
    return str(getattr(corruption, "kind", type(corruption).__name__))


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
                    replace_file(paths[place], _encode(_corrupt(job, place, sample), job.image_format))
            except ShapeError as error:
                sample = Skipped(entry.id, str(error))
        if isinstance(sample, Skipped):
            report.skipped.append(sample)
            # A picture is in the benchmark under every corruption or under none.
            for path in paths:
                path.unlink(missing_ok=True)
            continue
        report.made += len(missing)
    return report


def _corrupt(job: Job, place: int, sample: Sample) -> NDArray[np.uint8]:
    return job.corruptions[place](sample.image, Rng(job.seed).at("corrupt", sample.id))


def _encode(image: NDArray[np.uint8], image_format: str) -> bytes:
    from data.images import encode_jpeg

    if image_format == "jpeg":
        return encode_jpeg(image, QUALITY)
    import cv2

    # Level 1 takes a third of the time of the usual 6 and a few per cent more room.
    shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    return bytes(cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])


def _write_arrays(job: Job, task: Task) -> Report:
    """Layout ``cifar_c``: write a task's part, uint8 (5, n, h, w, 3), of every array not yet there."""
    import numpy as np

    report = Report()
    samples: list[Sample] = []
    for sample in job.source.read(task.entries):
        if isinstance(sample, Skipped):
            report.skipped.append(sample)
        elif sample.label is None:
            report.skipped.append(Skipped(sample.id, "has no label"))
        else:
            report.shape = _one_shape(report.shape, sample.image.shape)
            report.labels.append(sample.label)
            samples.append(sample)
    report.counts.append(len(samples))
    if not samples:
        return report
    for name, places in _by_kind(job).items():
        part = part_path(job, name, task.number)
        if (job.out / f"{name}.npy").exists() or _count(part, axis=1) == len(samples):
            continue
        made = np.stack([np.stack([_corrupt(job, place, sample) for sample in samples]) for place in places])
        replace_file(part, _npy(made))
        report.made += len(places) * len(samples)
    return report


def _by_kind(job: Job) -> dict[str, list[int]]:
    """Return the positions of each kind's corruptions, severity 1 first."""
    found: dict[str, list[int]] = {}
    for place in sorted(range(len(job.corruptions)), key=lambda place: job.corruptions[place].severity):
        found.setdefault(kind_of(job.corruptions[place]), []).append(place)
    return found


def part_path(job: Job, name: str, number: int) -> Path:
    """Return where a task's part of one array lies until all are there."""
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


def finish_cifar(job: Job, report: Report) -> None:
    """Put the parts together: one array a kind, and the labels; then delete the parts."""
    import shutil

    import numpy as np

    total = sum(report.counts)
    if report.shape is None:
        raise DataError("no picture of the source could be used", where=str(job.out))
    for name in _by_kind(job):
        path = job.out / f"{name}.npy"
        if not path.exists():
            _assemble(job, name, report, path)
        elif _count(path, axis=0) != 5 * total:
            raise DataError(
                f"does not hold {5 * total} pictures", where=str(path), hint="delete it, run again"
            )
    kind = np.uint8 if len(job.classes) <= 256 else np.int64
    labels = np.tile(np.array(report.labels, kind), 5)
    replace_file(job.out / "labels.npy", _npy(labels))
    shutil.rmtree(job.out / PARTS, ignore_errors=True)


def _assemble(job: Job, name: str, report: Report, path: Path) -> None:
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
