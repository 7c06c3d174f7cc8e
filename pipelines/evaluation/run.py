"""Runs ``task: evaluate``: takes the images in, measures every missing chunk, makes the tables.

Kill it at any moment and start it again: chunks that are there and whole are kept, and the results are equal
byte for byte to those of an undisturbed run.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.cores import usable_cores
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.job import CellChunk, packed
from clearsight.pipelines.evaluation.machines import pinned_kind
from clearsight.pipelines.evaluation.ood import measure_others, missing
from clearsight.pipelines.evaluation.plan import Plan, prepare
from clearsight.pipelines.evaluation.results import begun, finish
from clearsight.pipelines.evaluation.shared_cells import take_over
from clearsight.pipelines.evaluation.worker import start_measuring
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.sealed import is_complete
from clearsight.pipelines.runs.stop_request import stop_if_asked
from clearsight.pipelines.runs.versions import library_versions

log = logging.getLogger("clearsight")
DIED = "run again to resume; fewer --workers or a smaller chunk need less memory"


def run(
    config: Evaluate,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    fresh: bool = False,
    backend: Backend | None = None,
    pin_kind: bool = False,
    others: Path | None = None,
    on_progress: Progress | None = None,
) -> RunFolder:
    """Run a config to its end and return its folder.

    Args:
        config: what to measure.
        text: the YAML it was read from; it is kept verbatim in the run folder.
        root: where run folders are kept.
        workers: processes; 0 is one a core (one in all on a GPU). Results do not depend on it.
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: start over where an equal run exists.
        backend: where chunks are measured; processes of this machine where left out.
        pin_kind: refuse to let machines of several kinds compute it.
        others: folder of run folders whose cells are taken over where they are the same.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: the config, the images or the run folder cannot be used.
    """
    begin = perf_counter()
    plan = prepare(config, root=root, device=device, fresh=fresh, on_progress=on_progress)
    folder = plan.job.folder
    with _logging_to(folder.log):
        damaged = plan.discard_damaged()
        for line in damaged:
            log.warning("measured again: %s", line)
        folder.stop.unlink(missing_ok=True)
        if others is not None and (taken := take_over(plan, others)):
            log.info("%d chunks taken over from other runs", taken)
        chunks = plan.missing()
        if (
            (not chunks or plan.ended())
            and is_complete(folder)
            and not any(missing(plan, o) for o in plan.others)
        ):
            log.info("already complete")
            return folder
        folder.done.unlink(missing_ok=True)
        _write_down(plan, text)
        total = len(plan.every_cell) * plan.job.chunks
        left = sum(len(chunk.cells) for chunk in chunks)
        most = "at most " if config.stop else ""
        log.info(
            "%s%d of %d chunks to compute, %d images skipped", most, left, total, len(plan.intake.skipped)
        )
        backend = _with_resources(backend or Backend(), config)
        if pin_kind:
            plan = replace(plan, job=replace(plan.job, pinned=pinned_kind(plan, backend)))
        count = backend.at_once(workers, plan.job.device)
        _measure_all(plan, chunks, count, backend, lambda n: on_progress and on_progress("measure", n, total))
        measure_others(plan, count, backend, on_progress)
        finish(plan, seconds=perf_counter() - begin, workers=count, damaged=damaged)
        log.info("complete")
    return folder


def _with_resources(backend: Backend, config: Evaluate) -> Backend:
    """Return a Ray backend with what the config says of a chunk; a time-out of the command line stays."""
    asked = config.resources
    if asked is None or backend.on != "ray":
        return backend
    told = backend.resources.seconds
    resources = asked if told is None else asked.model_copy(update={"seconds": told})
    return replace(backend, resources=resources)


def _measure_all(
    plan: Plan, chunks: Sequence[CellChunk], workers: int, backend: Backend, done: Callable[[int], object]
) -> None:
    total = len(plan.every_cell) * plan.job.chunks
    finished = total - sum(len(chunk.cells) for chunk in chunks)
    done(finished)
    where = str(plan.job.folder.path)
    executor = executor_for(chunks, workers, where=where, hint=DIED, backend=backend)
    if not executor.shares_disk:
        # The images of a chunk are sent once for all conditions that follow one another.
        chunks = sorted(chunks, key=lambda chunk: chunk.number)
    units = chunks if plan.config.stop is None else plan.ends.open_units()
    with closing(executor.map(start_measuring, plan.job, units, partial(packed, plan.job))) as measured:
        for chunk, _ in measured:
            finished += len(chunk.cells)
            done(finished)
            stop_if_asked(plan.job.folder)
    if finished < total:
        done(total)


def _write_down(plan: Plan, text: str | None) -> None:
    import yaml

    folder, config = plan.job.folder, plan.config
    resolved = config.model_dump(mode="json", exclude_none=True)
    shown = text if text is not None else yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    # Bytes: on Windows text would get other ends of lines, and other checksums.
    folder.config.write_bytes(shown.encode("utf-8"))
    told = {
        "digest": config.digest(),
        "config": resolved,
        "cells": [vars(cell) for cell in plan.cells],
        "certified": [vars(cell) for cell in plan.certified],
        "chunks": plan.job.chunks,
        "classes": plan.classes,
        "begun": begun(plan).to_json(),
    }
    write_json(folder.resolved, told)
    write_json(folder.environment, environment(plan.job.device) | {"precision": config.precision})
    if plan.intake.skipped:
        write_json(folder.skipped, [vars(skipped) for skipped in plan.intake.skipped])


def environment(device: str) -> dict[str, Any]:
    """Return versions and the kind of machine."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "device": device,
        "libraries": library_versions(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class _Log(logging.FileHandler):
    """A log that a full disk cuts short: the error that the run ends with says so once."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing; the usual handler prints a traceback for every line."""


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = _Log(path, encoding="utf-8")
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
