"""Runs ``task: evaluate``: takes the images in, measures every missing chunk, makes the tables.

Kill it at any moment and start it again: chunks that are there are kept, and the results are equal byte for
byte to those of an undisturbed run.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import Plan, Progress, prepare
from clearsight.pipelines.evaluation.results import finish
from clearsight.pipelines.evaluation.worker import Bench, Job, Task, one_thread, start_worker, work
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.versions import library_versions

log = logging.getLogger("clearsight")


def run(
    config: Evaluate,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    fresh: bool = False,
    on_progress: Progress | None = None,
) -> RunFolder:
    """Run a config to its end and return its folder.

    Args:
        config: what to measure.
        text: the YAML it was read from; it is kept verbatim in the run folder.
        root: where run folders are kept.
        workers: processes; 0 is one a core (one in all on a GPU). Results do not depend on it.
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: begin anew where an equal run is there.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: the config, the images or the run folder cannot be used.
    """
    begin = perf_counter()
    plan = prepare(config, root=root, device=device, fresh=fresh, on_progress=on_progress)
    folder = plan.job.folder
    with _logging_to(folder.log):
        _write_down(plan, text)
        tasks = plan.missing()
        if folder.done.exists() and not tasks:
            log.info("already complete")
            return folder
        total = len(plan.cells) * plan.job.chunks
        left = sum(len(task.cells) for task in tasks)
        log.info("%d of %d chunks to compute, %d images skipped", left, total, len(plan.intake.skipped))
        count = workers or (1 if plan.job.device != "cpu" else _cores())
        _measure_all(
            plan.job, tasks, count, lambda n: on_progress and on_progress("measure", n, total), total - left
        )
        finish(plan, seconds=perf_counter() - begin, workers=count)
        log.info("complete")
    return folder


def _measure_all(
    job: Job, tasks: Sequence[Task], workers: int, done: Callable[[int], object], already: int
) -> None:
    finished = already
    done(finished)
    if workers == 1 or len(tasks) <= 1:
        with one_thread():
            bench = Bench(job)
            for task in tasks:
                finished += bench.measure(task)
                done(finished)
        return
    for count in _in_processes(job, tasks, min(workers, len(tasks))):
        finished += count
        done(finished)


def _in_processes(job: Job, tasks: Sequence[Task], workers: int) -> Iterator[int]:
    waiting = iter(tasks)
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=start_worker, initargs=(job,)
    )
    try:
        # A few tasks ahead are enough; a million futures would be a memory problem of their own.
        running = {pool.submit(work, task) for task in islice(waiting, 2 * workers)}
        while running:
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
                running |= {pool.submit(work, task) for task in islice(waiting, 1)}
    except BrokenProcessPool:
        raise RunError(
            "a worker process died (out of memory, or killed)",
            where=str(job.folder.path),
            hint="run again to resume; fewer --workers or a smaller chunk need less memory",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_down(plan: Plan, text: str | None) -> None:
    import yaml

    folder, config = plan.job.folder, plan.config
    resolved = config.model_dump(mode="json", exclude_none=True)
    shown = text if text is not None else yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    folder.config.write_text(shown, encoding="utf-8")
    write_json(folder.resolved, {"config": resolved, "cells": [vars(cell) for cell in plan.cells]})
    write_json(folder.environment, environment(plan.job.device))
    if plan.intake.skipped:
        write_json(folder.skipped, [vars(skipped) for skipped in plan.intake.skipped])


def environment(device: str) -> dict[str, Any]:
    """Return versions and the kind of machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": _cores(),
        "device": device,
        "libraries": library_versions(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    except BaseException as error:
        log.error("stopped: %s", error if isinstance(error, Exception) else "by the user")
        raise
    finally:
        log.setLevel(before)
        log.removeHandler(handler)
        handler.close()
