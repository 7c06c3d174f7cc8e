"""`restore_files`: puts all files of a plan through one chain; can be resumed at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from errno import EILSEQ, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from clearsight.data.contract.errors import ClearsightError, ConfigError, DataError, RunError
from clearsight.data.contract.progress import Progress
from clearsight.data.executors.in_process import InProcess
from clearsight.data.home import remove_half_written, replace_file, writable_folder
from clearsight.data.media.lossless import StoredImage, encode, read_image, restored
from clearsight.data.seals import stored
from clearsight.pipelines.restoring.chain import Chain
from clearsight.pipelines.restoring.journal import Journal
from clearsight.pipelines.restoring.plan import Item, Plan
from clearsight.pipelines.restoring.video import restore_video

if TYPE_CHECKING:
    from clearsight.pipelines.restoring.worker import Worker

THIS_FILE = frozenset({ENAMETOOLONG, EISDIR, ENOTDIR, EINVAL, EILSEQ, ELOOP})
"""Errors of writing that are due to the name of one file: the others may well be written."""
AHEAD = 2
"""Most images that are read ahead, and most that may wait to be written."""


Writing: TypeAlias = Callable[[], tuple[str, ...]]
"""Writes a result and returns notes for the user."""


@dataclass(frozen=True)
class Arriving:
    """One item, as the unit of work.

    Attributes:
        item: where it lies and where it goes.
        checksum: of the file, taken before it is read; None where there is no journal.
        image: what is being read; None for a video.
    """

    item: Item
    checksum: Future[str | None] | None
    image: Future[StoredImage] | None


@dataclass
class Outcome:
    """What became of the files.

    Attributes:
        made: restored now.
        kept: restored by an earlier call.
        failed: name and reason of each file that could not be used.
        notes: name and note, such as what could not be kept.
    """

    made: int = 0
    kept: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def restore_files(
    plan: Plan,
    chain: Chain,
    worker: Callable[[], Worker],
    *,
    fresh: bool = False,
    on_progress: Progress,
) -> Outcome:
    """Restore all files of a plan. Files that cannot be used are named in the outcome.

    Images are read ahead and written behind by two threads. At most one call may work in a folder at a
    time.

    Args:
        plan: from `clearsight.pipelines.restoring.plan.read_plan`.
        chain: from `clearsight.pipelines.restoring.chain.read_chain`.
        worker: builds what applies the chain; called once, and not at all where nothing is left to do.
        fresh: restore again what an earlier call restored, and replace files of other origin.
        on_progress: called with a stage, the number done and the total (None where unknown).

    Raises:
        ConfigError: the target exists or holds results of another chain, and ``fresh`` is not set.
        RunError: a result cannot be written.
    """
    journal = _opened(plan, chain, fresh=fresh)
    outcome = Outcome()
    states = {item: "new" if journal is None else journal.state(item) for item in plan.items}
    left = [item for item, state in states.items() if state != "finished"]
    changed = [item for item in left if states[item] == "changed"]
    outcome.notes = [(item.name, "the result was damaged or changed: restored again") for item in changed]
    outcome.kept = len(plan.items) - len(left)
    if left:
        _tidy(left)
        _Run(journal, outcome, on_progress, len(plan.items)).all(worker, left)
    return outcome


def _opened(plan: Plan, chain: Chain, *, fresh: bool) -> Journal | None:
    if plan.folder is not None:
        return Journal(plan.folder, chain, plan.items, fresh=fresh)
    (item,) = plan.items
    if item.target.exists() and not fresh:
        raise ConfigError(
            "exists already", where=str(item.target), hint="give another OUT, or --fresh to replace it"
        )
    return None


def _tidy(items: Sequence[Item]) -> None:
    """Make the folders of the results, and delete what a killed call left half written there."""
    names: dict[Path, list[str]] = {}
    for item in items:
        names.setdefault(item.target.parent, []).append(item.target.name)
    for folder, known in names.items():
        writable_folder(folder)
        remove_half_written(folder, known)


class _Run:
    """One call: its threads and the record of what they finished."""

    def __init__(
        self,
        journal: Journal | None,
        outcome: Outcome,
        on_progress: Progress,
        total: int,
    ) -> None:
        self.journal, self.outcome = journal, outcome
        self.on_progress, self.total = on_progress, total

    def all(self, worker: Callable[[], Worker], items: Sequence[Item]) -> None:
        """Restore every item."""
        writing: deque[tuple[Arriving, Future[tuple[str, ...]]]] = deque()
        # Two pools, so that reading ahead never waits for writing, nor the other way round.
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            with (
                closing(_read_ahead(items, reader, noted=self.journal is not None)) as arriving,
                closing(InProcess().map(self._start, worker, arriving)) as restored,
            ):
                for unit, result in restored:
                    if isinstance(result, ClearsightError):
                        self._failed(unit.item, result)
                        continue
                    writing.append((unit, writer.submit(result)))
                    while len(writing) > AHEAD:
                        self._written(*writing.popleft())
            while writing:
                self._written(*writing.popleft())

    def _start(self, build: Callable[[], Worker]) -> Callable[[Arriving], Writing | ClearsightError]:
        """Build the worker; return a function that restores one item or returns why it cannot be used."""
        worker = build()
        self._progress()

        def restore(unit: Arriving) -> Writing | ClearsightError:
            try:
                return self._restored(worker, unit)
            except ConfigError:
                raise
            except ClearsightError as error:
                return error

        return restore

    def _restored(self, worker: Worker, unit: Arriving) -> Writing:
        """Compute a result and return what writes it."""
        item = unit.item
        if unit.image is None:
            notes = restore_video(
                item.source,
                item.target,
                worker,
                lambda done, count: self.on_progress("frames", done, count),
            )
            return lambda: notes
        image = unit.image.result()
        pixels = worker(image.pixels)
        return lambda: _write(restored(image, pixels), item)

    def _written(self, unit: Arriving, written: Future[tuple[str, ...]]) -> None:
        item = unit.item
        try:
            notes = written.result()
        except DataError as error:
            self._failed(item, error)
            return
        except OSError as error:
            if error.errno in THIS_FILE:
                self._failed(item, DataError(f"cannot be written: {error.strerror}"))
                return
            raise RunError(
                f"cannot be written: {error.strerror or error}",
                where=str(item.target),
                hint="fix it and run the same command again to continue",
            ) from None
        if item.target.suffix.lower() != item.source.suffix.lower():
            notes = (f"written as {item.target.name}", *notes)
        self.outcome.notes += [(item.name, note) for note in notes]
        self.outcome.made += 1
        if self.journal is not None:
            self.journal.add(item, unit.checksum.result() if unit.checksum else None)
        self._progress()

    def _failed(self, item: Item, error: ClearsightError) -> None:
        place = error.where if error.where not in ("", str(item.source), str(item.target)) else ""
        reason = type(error)(error.what, where=place, hint=error.hint)
        self.outcome.failed.append((item.name, str(reason)))
        self._progress()

    def _progress(self) -> None:
        outcome = self.outcome
        self.on_progress("restore", outcome.kept + outcome.made + len(outcome.failed), self.total)


def _read_ahead(
    items: Sequence[Item], pool: ThreadPoolExecutor, *, noted: bool
) -> Generator[Arriving, None, None]:
    """Yield items with the futures that read them; videos are read while they are restored."""
    coming: deque[Arriving] = deque()
    try:
        for item in items:
            checksum = pool.submit(stored, item.source) if noted else None
            image = None if item.video else pool.submit(read_image, item.source)
            coming.append(Arriving(item, checksum, image))
            if len(coming) > AHEAD:
                yield coming.popleft()
        while coming:
            yield coming.popleft()
    finally:
        for unit in coming:
            if unit.image is not None:
                unit.image.cancel()


def _write(image: StoredImage, item: Item) -> tuple[str, ...]:
    data, notes = encode(image, item.target)
    replace_file(item.target, data)
    return notes
