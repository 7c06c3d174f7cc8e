"""Where the conditions of a run with ``stop`` end: a function of what is measured, and of nothing else.

A run that was killed therefore ends every condition where an undisturbed one does. Processes that would have
to wait for a decision go on with the next chunk; what was measured beyond the end is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.spec import Flow
from clearsight.data.seals import chunk_seal
from clearsight.data.sequential import planned_looks, repeated_interval
from clearsight.pipelines.evaluation.job import CellChunk
from clearsight.pipelines.runs.folder import correct_of
from clearsight.pipelines.runs.summary import StopFacts

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate
    from clearsight.pipelines.config.stop import Stop
    from clearsight.pipelines.evaluation.dataset_check import Intake
    from clearsight.pipelines.runs.grid import Cell, Grid


@dataclass
class Ends:
    """How many chunks each condition needs.

    Attributes:
        folder: of the run.
        cells: all of the run.
        images: number of images in the data.
        chunk: images of a chunk.
        stop: when a condition ends early; None for never.
    """

    folder: RunFolder
    cells: Sequence[Cell]
    images: int
    chunk: int
    stop: Stop | None = None
    _known: dict[str, int] = field(default_factory=dict)
    _passed: dict[str, int] = field(default_factory=dict)
    """How many looks did not end a condition."""
    _right: dict[str, list[int]] = field(default_factory=dict)
    """Right answers of a cell in its first 0, 1, 2 and so on chunks, as far as they were read."""

    @property
    def chunks(self) -> int:
        """Return how many chunks all images make."""
        return -(-self.images // self.chunk)

    @property
    def looks(self) -> tuple[int, ...]:
        """Return the numbers of images at which the rule is checked."""
        if self.stop is None:
            return (self.images,)
        return planned_looks(self.images, least=self.stop.least, step=self.chunk)

    @property
    def facts(self) -> StopFacts | None:
        """Return what the summary says of the rule."""
        return None if self.stop is None else StopFacts(self.stop.half_width, list(self.looks))

    def of(self, condition: str) -> int | None:
        """Return how many chunks a condition needs; None where that is not decided yet."""
        if self.stop is None:
            return self.chunks
        if condition not in self._known:
            end = self._decided(condition, self.stop.half_width / 100.0)
            if end is None:
                return None
            self._known[condition] = end
        return self._known[condition]

    def images_of(self, condition: str) -> int:
        """Return how many images a condition that is decided needs."""
        return min((self.of(condition) or 0) * self.chunk, self.images)

    def open_units(self) -> Iterator[CellChunk]:
        """Yield what is not measured yet, look by look, until every condition has ended."""
        conditions = list(dict.fromkeys(cell.condition for cell in self.cells))
        start = 0
        for look in self.looks:
            stop = -(-look // self.chunk)
            for condition in conditions:
                for number in range(start, stop):
                    if self.of(condition) is None and (lacking := self._lacking(condition, number)):
                        yield CellChunk(condition, number, lacking)
            start = stop

    def _lacking(self, condition: str, number: int) -> tuple[Cell, ...]:
        return tuple(
            cell
            for cell in self.cells
            if cell.condition == condition and not self.folder.seal(cell.key, number).exists()
        )

    def _decided(self, condition: str, half_width: float) -> int | None:
        cells = [cell for cell in self.cells if cell.condition == condition]
        for look in self.looks[self._passed.get(condition, 0) :]:
            stop = -(-look // self.chunk)
            found = [self._counted(cell, stop) for cell in cells]
            if None in found:
                return None
            ends = (repeated_interval(right, look, len(self.looks)) for right in found if right is not None)
            if look == self.images or all((high - low) / 2 <= half_width for low, high in ends):
                return stop
            self._passed[condition] = self._passed.get(condition, 0) + 1
        return None

    def _counted(self, cell: Cell, stop: int) -> int | None:
        """Return the right answers in the first chunks; None where one is not measured, or damaged."""
        totals = self._right.setdefault(cell.key, [0])
        while len(totals) <= stop:
            place = cell.key, len(totals) - 1
            try:
                content = chunk_seal(self.folder, *place).opened().read(self.folder.chunk(*place))
            except RunError:
                return None
            totals.append(totals[-1] + sum(right is True for right in correct_of(content)))
        return totals[stop]


def check_stop(config: Evaluate, grid: Grid, intake: Intake) -> None:
    """Refuse a run that has no accuracy to stop by.

    Raises:
        ConfigError: a system gives no class, or an image has no label.
    """
    if config.stop is None:
        return
    without = [name for name in grid.measured if grid.graphs[name].gives is not Flow.LOGITS]
    if without:
        raise ConfigError(f"system '{without[0]}' has no accuracy that could be known well", where="stop")
    if not intake.labelled:
        raise ConfigError("needs labelled images: it looks at the accuracy", where="stop")
