"""Runs ``task: evaluate``: takes the pictures in, measures every missing chunk, makes the tables.

Kill it at any moment and start it again: chunks that are there are kept, and the results are equal byte for
byte to those of an undisturbed run.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from data.contract.errors import ConfigError, RunError
from data.contract.spec import content_key
from data.corruptions.base import MINIMUM
from defend.classifier import Classifier
from pipelines.config import Evaluate
from pipelines.grid import Cell, Grid, make_grid
from pipelines.intake import Intake, check_labels, take_in
from pipelines.measure import Bench, Job, Task, one_thread, start_worker, work
from pipelines.metrics.base import Metric
from pipelines.results import finish
from pipelines.store import RunFolder, open_folder
from pipelines.system import System
from pipelines.versions import library_versions

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, all)."""
DEFAULT_METRICS = ("accuracy", "ece", "psnr", "ssim", "psnr_in")
log = logging.getLogger("clearsight")


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start.

    Attributes:
        warnings: things a reader of the results must know.
        classes: number of classes of the systems, None where they give pictures or differ.
    """

    config: Evaluate
    grid: Grid
    intake: Intake
    cells: tuple[Cell, ...]
    metrics: tuple[Metric, ...]
    job: Job
    warnings: tuple[str, ...]
    classes: int | None
    parameters: Mapping[str, int]

    def missing(self) -> list[Task]:
        """Return what is not computed yet, condition by condition."""
        tasks = []
        for condition in self.grid.conditions:
            wanted = [cell for cell in self.cells if cell.condition == condition]
            for number in range(self.job.chunks):
                lacking = tuple(cell for cell in wanted if not self.job.folder.chunk(cell, number).exists())
                if lacking:
                    tasks.append(Task(condition, number, lacking))
        return tasks


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
        ClearsightError: the config, the pictures or the run folder cannot be used.
    """
    begin = perf_counter()
    plan = prepare(config, root=root, device=device, fresh=fresh, on_progress=on_progress)
    folder = plan.job.folder
    with _logging_to(folder.path / "log.txt"):
        _write_down(plan, text)
        tasks = plan.missing()
        if folder.done.exists() and not tasks:
            log.info("already complete")
            return folder
        total = len(plan.cells) * plan.job.chunks
        left = sum(len(task.cells) for task in tasks)
        log.info("%d of %d chunks to compute, %d pictures skipped", left, total, len(plan.intake.skipped))
        count = workers or (1 if plan.job.device != "cpu" else _cores())
        _measure_all(
            plan.job, tasks, count, lambda n: on_progress and on_progress("measure", n, total), total - left
        )
        finish(plan, seconds=perf_counter() - begin, workers=count)
        log.info("complete")
    return folder


def prepare(
    config: Evaluate, *, root: Path, device: str, fresh: bool = False, on_progress: Progress | None = None
) -> Plan:
    """Check a config against its pictures and weights, and open its run folder.

    Raises:
        ClearsightError: something does not fit.
    """
    grid = make_grid(config)
    device = _device(device)
    systems = {name: graph.build() for name, graph in grid.graphs.items()}
    corrupting = any(c.corruption.severity > 0 for c in grid.conditions.values())
    smallest = max([1, *([MINIMUM] if corrupting else []), *(_minimum(s) for s in systems.values())])
    intake = take_in(
        config.data,
        minimum=smallest,
        on_progress=lambda done, n: on_progress("read", done, n) if on_progress else None,
    )
    warnings = _check_systems(systems, intake)
    metrics = _metrics(config, grid, intake)
    wanted = {column for metric in metrics for column in metric.columns}
    setting = {"device": device, **library_versions()}
    setting["ssim"] = str(bool(wanted & {"ssim_out", "ssim_in"}))
    cells = grid.cells(data=intake.fingerprint, seed=config.seed, chunk=config.chunk, setting=setting)
    key = content_key([config.identity(), [cell.key for cell in cells]])
    job = Job(
        folder=open_folder(root, config.name, key, fresh=fresh),
        source=config.data,
        entries=intake.entries,
        graphs=dict(grid.graphs),
        corruptions={name: condition.corruption for name, condition in grid.conditions.items()},
        seed=config.seed,
        chunk=config.chunk,
        device=device,
        with_ssim=setting["ssim"] == "True",
        shown=_shown(len(intake.entries), config.pictures),
    )
    known = {system.classes for system in systems.values()}
    parameters = {
        f"{name}/{part}": sum(p.numel() for p in system.part(part).parameters())
        for name, system in systems.items()
        for part in system.graph.parts
    }
    classes = known.pop() if len(known) == 1 else None
    return Plan(config, grid, intake, cells, metrics, job, warnings, classes, parameters)


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


def _check_systems(systems: Mapping[str, System], intake: Intake) -> tuple[str, ...]:
    warnings = []
    for name, system in systems.items():
        if system.classes is None:
            continue
        parts = [system.part(part) for part in system.graph.parts]
        named = [part.class_names for part in parts if isinstance(part, Classifier) and part.class_names]
        if warning := check_labels(intake, name, system.classes, named[0] if named else ()):
            warnings.append(warning)
    return tuple(warnings)


def _minimum(system: System) -> int:
    return max(int(getattr(system.part(name), "minimum", 1)) for name in system.graph.parts)


def _metrics(config: Evaluate, grid: Grid, intake: Intake) -> tuple[Metric, ...]:
    from pipelines.catalogue import METRICS

    classifies = any(graph.gives == "logits" for graph in grid.graphs.values())
    restores = any(graph.restored for graph in grid.graphs.values())
    have = {"psnr_in", "ssim_in"}
    have |= {"psnr_out", "ssim_out"} if restores else set()
    have |= {"confidence", "prediction"} if classifies else set()
    have |= {"correct", "loss", "brier", "margin"} if classifies and intake.labelled else set()
    if config.metrics is None:
        chosen = [METRICS[kind]() for kind in DEFAULT_METRICS]
        return tuple(metric for metric in chosen if set(metric.columns) <= have)
    for metric in config.metrics:
        if lacking := set(metric.columns) - have:
            why = "labels" if classifies and not intake.labelled else "a part that gives that"
            name = getattr(metric, "kind", "")
            raise ConfigError(
                f"metric '{name}' needs {', '.join(sorted(lacking))}, but nothing here has {why}",
                where="metrics",
            )
    return config.metrics


def _shown(n: int, count: int) -> frozenset[int]:
    # Spread over the set: data are often sorted by class.
    return frozenset(i * n // count for i in range(min(count, n))) if count else frozenset()


def _device(wanted: str) -> str:
    import torch

    if wanted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device '{wanted}'", hint="known: auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", hint="use --device cpu")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_down(plan: Plan, text: str | None) -> None:
    import yaml

    folder, config = plan.job.folder, plan.config
    resolved = config.model_dump(mode="json", exclude_none=True)
    shown = text if text is not None else yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    (folder.path / "config.yaml").write_text(shown, encoding="utf-8")
    folder.write_json("resolved.json", {"config": resolved, "cells": [vars(cell) for cell in plan.cells]})
    folder.write_json("environment.json", environment(plan.job.device))
    if plan.intake.skipped:
        folder.write_json("skipped.json", [vars(skipped) for skipped in plan.intake.skipped])


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
