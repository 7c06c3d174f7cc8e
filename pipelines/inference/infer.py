"""`infer`: images and videos through a session; reading, computing and writing overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from clearsight.data.contract.errors import ClearsightError, RunError
from clearsight.data.contract.progress import Progress
from clearsight.data.cores import usable_cores
from clearsight.data.home import replace_file
from clearsight.data.media.lossless import StoredImage, encode, restored
from clearsight.pipelines.inference.compute import Computed, Computer
from clearsight.pipelines.inference.inputs import Arrived, Want, arrived, read
from clearsight.pipelines.inference.items import Item
from clearsight.pipelines.inference.table import Row, Sink
from clearsight.pipelines.inference.video import frames
from clearsight.pipelines.restoring.video import restore_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 64
"""Most images of a block: they are held, batched by size and written as rows together."""
BLOCK_PIXELS = 2**24
"""Most pixels of a block: 50 MB as bytes."""
WRITTEN_BEHIND = 2
"""Blocks whose restored images may wait to be written."""
Say: TypeAlias = Callable[[str, str, bool], None]
"""Called with the name of an item, a message about it, and whether it failed."""


@dataclass
class Outcome:
    """How many items became rows, and how many could not be used."""

    made: int = 0
    failed: int = 0


class Inference:
    """One call: threads, blocks and rows.

    Rows come in the order of the items, and blocks depend on the items alone: timing affects neither.
    """

    def __init__(
        self,
        computer: Computer,
        want: Want,
        sink: Sink,
        targets: Mapping[str, Path],
        say: Say,
        on_progress: Progress,
    ) -> None:
        """Keep what is needed.

        Args:
            computer: of the deployed file.
            want: how every image is prepared.
            sink: where rows go.
            targets: item's name -> file for its restored image; empty where none are wanted.
            say: called with failures and notes as they arise.
            on_progress: called with a stage, the number done and the total (None where unknown).
        """
        self.computer, self.want, self.sink, self.targets = computer, want, sink, targets
        self.say, self.on_progress = say, on_progress
        self.outcome = Outcome()
        self.total = 0
        self.usual = 1.0

    def all(self, items: Sequence[Item]) -> Outcome:
        """Put every item through.

        Raises:
            RunError: rows cannot be written.
        """
        self.total = len(items)
        self._progress()
        writing: deque[tuple[list[Row], list[Future[tuple[str, ...]]]]] = deque()
        workers = min(4, usable_cores())
        # Two pools, so that reading ahead never waits for writing, nor the other way round.
        with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
            try:
                with closing(self._blocks(items, readers)) as blocks:
                    for block in blocks:
                        if isinstance(block, Item):
                            self._finish(writing, 0)
                            self._video(block)
                            continue
                        writing.append(self._computed(block, writers))
                        self._finish(writing, WRITTEN_BEHIND)
                self._finish(writing, 0)
            finally:
                writers.shutdown(wait=False, cancel_futures=True)
        return self.outcome

    def _blocks(
        self, items: Iterable[Item], pool: ThreadPoolExecutor
    ) -> Generator[list[Arrived] | Item, None, None]:
        """Yield blocks of images, and videos by themselves, in the order of the items."""
        block: list[Arrived] = []
        pixels = 0
        with closing(self._read_ahead(items, pool)) as found:
            for item, coming in found:
                if coming is None:
                    if block:
                        yield block
                    yield item
                    block, pixels = [], 0
                    continue
                try:
                    image = coming.result()
                except ClearsightError as error:
                    self._failed(item.name, error)
                    continue
                size = image.image.pixels.size // image.image.pixels.shape[2]
                self.usual = max(float(image.width * image.height), self.usual * 0.9)
                if block and (len(block) == BLOCK or pixels + size > BLOCK_PIXELS):
                    yield block
                    block, pixels = [], 0
                block.append(image)
                pixels += size
        if block:
            yield block

    def _read_ahead(
        self, items: Iterable[Item], pool: ThreadPoolExecutor
    ) -> Generator[tuple[Item, Future[Arrived] | None], None, None]:
        """Yield items with the futures that read them; fewer are read ahead where images are large."""
        coming: deque[tuple[Item, Future[Arrived] | None]] = deque()
        try:
            for item in items:
                while len(coming) > max(1, min(BLOCK, int(BLOCK_PIXELS / self.usual))):
                    yield coming.popleft()
                task = None if item.video else pool.submit(read, item.source, item.name, self.want)
                coming.append((item, task))
            while coming:
                yield coming.popleft()
        finally:
            for _, task in coming:
                if task is not None:
                    task.cancel()

    def _computed(
        self, block: Sequence[Arrived], writers: ThreadPoolExecutor
    ) -> tuple[list[Row], list[Future[tuple[str, ...]]]]:
        """Compute a block and begin to write its restored images."""
        rows: list[Row] = []
        tasks: list[Future[tuple[str, ...]]] = []
        for image, computed in zip(block, self.computer(block), strict=True):
            if computed.error is not None:
                self._failed(image.name, computed.error)
                continue
            rows.append(_row(image, computed))
            target = self.targets.get(image.name)
            tasks.append(writers.submit(_write, image, computed.image, target))
        return rows, tasks

    def _finish(self, writing: deque[tuple[list[Row], list[Future[tuple[str, ...]]]]], left: int) -> None:
        """Write rows whose restored images are in place."""
        while len(writing) > left:
            rows, tasks = writing.popleft()
            made = []
            for row, task in zip(rows, tasks, strict=True):
                try:
                    notes = task.result()
                except ClearsightError as error:
                    self._failed(row.name, error)
                    continue
                for note in notes:
                    self.say(row.name, note, False)
                made.append(row)
            self.sink.add(made)
            self.sink.mark()
            self.outcome.made += len(made)
            self._progress()

    def _video(self, item: Item) -> None:
        """Put a video through, block by block; with restored frames one by one."""
        try:
            target = self.targets.get(item.name)
            notes = self._frames(item) if target is None else self._restored_frames(item, target)
        except ClearsightError as error:
            self.sink.undo()
            self._failed(item.name, error)
            return
        self.sink.mark()
        for note in notes:
            self.say(item.name, note, False)
        self.outcome.made += 1
        self._progress()

    def _frames(self, item: Item) -> tuple[str, ...]:
        block: list[Arrived] = []
        pixels = 0
        for done, total, frame in frames(item.source):
            block.append(arrived(item.name, StoredImage(frame), self.want, frame=done))
            pixels += frame.size // 3
            if len(block) == BLOCK or pixels > BLOCK_PIXELS:
                self._add_frames(block)
                block, pixels = [], 0
            self.on_progress("frames", done + 1, total)
        self._add_frames(block)
        return ()

    def _add_frames(self, block: Sequence[Arrived]) -> None:
        computed = self.computer(block)
        for frame in computed:
            if frame.error is not None:
                raise frame.error
        self.sink.add([_row(*frame) for frame in zip(block, computed, strict=True)])

    def _restored_frames(self, item: Item, target: Path) -> tuple[str, ...]:
        rows: list[Row] = []
        numbers = count()

        def work(frame: NDArray[Any]) -> NDArray[Any]:
            image = arrived(item.name, StoredImage(frame), self.want, frame=next(numbers))
            (computed,) = self.computer([image])
            if computed.error is not None or computed.image is None:
                raise computed.error or RunError("gave no image")
            rows.append(_row(image, computed))
            if len(rows) == BLOCK:
                self.sink.add(rows)
                rows.clear()
            return computed.image

        target.parent.mkdir(parents=True, exist_ok=True)
        notes = restore_video(
            item.source, target, work, lambda done, total: self.on_progress("frames", done, total)
        )
        self.sink.add(rows)
        return notes

    def _failed(self, name: str, error: ClearsightError) -> None:
        self.outcome.failed += 1
        reason = f"{error.what}; {error.hint}" if error.hint else error.what
        self.say(name, reason, True)
        self._progress()

    def _progress(self) -> None:
        self.on_progress("infer", self.outcome.made + self.outcome.failed, self.total)


def _row(image: Arrived, computed: Computed) -> Row:
    return Row(image.name, computed.ranked, image.width, image.height, image.frame, computed.beside)


def _write(image: Arrived, pixels: NDArray[Any] | None, target: Path | None) -> tuple[str, ...]:
    """Write a restored image where one is wanted, and return notes for the user."""
    if target is None or pixels is None:
        return image.notes
    data, notes = encode(restored(image.image, pixels), target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, data)
    except OSError as error:
        raise RunError(f"cannot be written: {error.strerror or error}", where=str(target)) from None
    return (*image.notes, *notes)
