"""Trainings one after the other, unattended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from clearsight.data.contract.errors import ClearsightError, WeightsError, first_line
from clearsight.data.weights import find, verify
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.report.queue_page import write_queue_page
from clearsight.pipelines.runs.queued import Queued, Training
from clearsight.pipelines.training.curve import CHART
from clearsight.pipelines.training.loop import StepReport, train
from clearsight.pipelines.training.publishing import weights_folder

WRITE_SECONDS = 20.0
"""Seconds between writes of the status, beside those where a training begins, is checked or ends."""


@dataclass(frozen=True)
class Job:
    """A training that is to be done.

    Attributes:
        config: what to train, with its budget.
        folder: its run folder.
    """

    config: TrainConfig
    folder: Path


def work_off(
    jobs: Sequence[Job],
    *,
    title: str,
    status: Path,
    device: str = "auto",
    on_progress: Callable[[Training, StepReport], None] | None = None,
) -> Queued:
    """Run trainings one after the other; skip those that are done, resume those that were stopped.

    A training that fails is recorded with its error, and the rest go on. A queue that is stopped or killed
    resumes when it is called again.

    Args:
        jobs: in order. The weights of one may be the ``init`` of a later one.
        title: of the page.
        status: path without its suffix: ``.json`` and ``.html`` are written.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called after every step.

    Returns:
        What became of each.
    """
    told = Queued(title, [Training(job.config.name, str(job.folder)) for job in jobs])
    facts, page = (status.with_name(f"{status.name}.{ending}") for ending in ("json", "html"))

    def write() -> None:
        told.written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        told.write(facts)
        write_queue_page(page, told, CHART)

    before = _found_before(facts)
    for job, training in zip(jobs, told.trainings, strict=True):
        _look_up(job, training)
        training.found = before.get(training.folder, "")
    write()
    for job, training in zip(jobs, told.trainings, strict=True):
        # Asked again: an equal training may stand earlier in the queue.
        _look_up(job, training)
        if training.state == "done":
            continue
        training.state = "running"
        write()
        try:
            _do(job, training, device, write, on_progress)
        except (ClearsightError, RuntimeError, MemoryError) as error:
            # What torch raises, as where memory does not suffice, ends one training, not the queue.
            training.state, training.error = "failed", first_line(error)
        finally:
            if training.state == "running":
                training.state = "stopped"
            write()
    return told


def _look_up(job: Job, training: Training) -> None:
    """Mark a training as done where its weights exist, are undamaged and come from this very config."""
    try:
        weights = find(str(weights_folder(job.config, job.folder)))
        verify(weights)
    except WeightsError:
        return
    if weights.card.get("config_key") != job.config.key():
        return
    training.state, training.share, training.weights = "done", 1.0, str(weights.folder)
    training.minutes = float(weights.card["minutes"])


def _found_before(path: Path) -> dict[str, str]:
    """Return run folder -> its last validation in words, from the status of an earlier call.

    It is only shown: where the file is missing or not readable, nothing else is lost.
    """
    try:
        trainings = json.loads(path.read_text(encoding="utf-8"))["trainings"]
        return {str(each["folder"]): str(each["found"]) for each in trainings}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _do(
    job: Job,
    training: Training,
    device: str,
    write: Callable[[], None],
    on_progress: Callable[[Training, StepReport], None] | None,
) -> None:
    written = monotonic()

    def step(report: StepReport) -> None:
        nonlocal written
        training.share, training.minutes = report.share, report.elapsed / 60.0
        if report.check is not None:
            training.found = report.check.text()
        if report.check is not None or monotonic() - written > WRITE_SECONDS:
            write()
            written = monotonic()
        if on_progress:
            on_progress(training, report)

    done = train(job.config, device=device, folder=job.folder, on_progress=step)
    training.state, training.share, training.minutes = "done", 1.0, done.seconds / 60.0
    training.found = done.scores["validation"].text()
    training.weights = str(done.weights.folder)
