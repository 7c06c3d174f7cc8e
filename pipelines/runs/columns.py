"""The rows of a run as columns of numbers, by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clearsight.data.sequential import each_look

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.pipelines.runs.grid import Grid

CONFIDENCE = 0.95
"""Confidence of each interval, and joint confidence of a system's differences."""
Columns = Mapping[str, NDArray[Any]]
Triple = tuple[str, str, str]
"""System, condition, attack."""


@dataclass(frozen=True)
class RunColumns:
    """What the figures of a run are made of.

    Attributes:
        grid: what was measured.
        columns: cell -> column -> one float per sample; booleans as 0 and 1, missing values as nan. Of
            columns of lists one array per sample, missing ones as None.
        baseline: system that the others are compared with.
        seed: root of the resampling streams.
        classes: number of classes of the systems, None where they give images or differ.
        looks: number of looks after which a cell may have ended; 1 where every cell saw all images.
    """

    grid: Grid
    columns: Mapping[Triple, Columns]
    baseline: str | None
    seed: int
    classes: int | None = None
    looks: int = 1

    @property
    def confidence(self) -> float:
        """Return the confidence of one interval at which those of all looks hold jointly at 95 %."""
        return each_look(CONFIDENCE, self.looks)


class Placed(Protocol):
    """What names a cell: its system, condition and attack."""

    @property
    def system(self) -> str: ...  # noqa: D102

    @property
    def condition(self) -> str: ...  # noqa: D102

    @property
    def attack(self) -> str: ...  # noqa: D102


def columns_of(table: pa.Table, cells: Sequence[Placed], counts: Sequence[int]) -> dict[Triple, Columns]:
    """Return the columns of ``results.parquet``, whose rows stand in the order of the cells.

    Args:
        table: the rows.
        cells: those that the rows belong to, in order.
        counts: rows of each cell.
    """
    import pyarrow as pa

    found: dict[Triple, Columns] = {}
    for cell, start, n in zip(cells, accumulate(counts, initial=0), counts, strict=False):
        rows = table.slice(start, n)
        numbers: dict[str, NDArray[Any]] = {
            name: lists(column) if pa.types.is_list(column.type) else floats(column)
            for name in rows.column_names
            if name not in _WORDS
            for column in [rows.column(name)]
        }
        found[cell.system, cell.condition, cell.attack] = numbers
    return found


def aligned(values: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return columns of cells that ended after different numbers of images, cut to those that all have."""
    shortest = min(len(each) for each in values)
    return [each[:shortest] for each in values]


_WORDS = ("system", "condition", "attack", "id")


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column as floats: booleans as 0 and 1, missing values as nan."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = column.cast(pa.float64())
    return np.asarray(values.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def lists(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return a column of lists as one array an image, None where it is missing."""
    out = np.empty(len(column), object)
    for place, item in enumerate(column):
        out[place] = None if item.as_py() is None else np.asarray(item.as_py(), np.float64)
    return out
