"""The rows of a run as columns of numbers, by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.pipelines.runs.grid import Grid

Columns = Mapping[str, NDArray[np.float64]]
Triple = tuple[str, str, str]
"""System, condition, attack."""


@dataclass(frozen=True)
class RunColumns:
    """What the figures of a run are made of.

    Attributes:
        grid: what was measured.
        columns: cell -> column -> one float a sample; booleans as 0 and 1, missing values as nan.
        baseline: system that the others are compared with.
        seed: root of the resampling streams.
        classes: number of classes of the systems, None where they give images or differ.
    """

    grid: Grid
    columns: Mapping[Triple, Columns]
    baseline: str | None
    seed: int
    classes: int | None = None


class Placed(Protocol):
    """What names a cell: its system, condition and attack."""

    @property
    def system(self) -> str: ...  # noqa: D102

    @property
    def condition(self) -> str: ...  # noqa: D102

    @property
    def attack(self) -> str: ...  # noqa: D102


def columns_of(table: pa.Table, cells: Sequence[Placed]) -> dict[Triple, Columns]:
    """Return the columns of ``results.parquet``, whose rows stand in the order of the cells."""
    n = table.num_rows // len(cells)
    found: dict[Triple, Columns] = {}
    for i, cell in enumerate(cells):
        rows = table.slice(i * n, n)
        numbers = {name: _floats(rows.column(name)) for name in rows.column_names if name not in _WORDS}
        found[cell.system, cell.condition, cell.attack] = numbers
    return found


_WORDS = ("system", "condition", "attack", "id")


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = column.cast(pa.float64())
    return np.asarray(values.fill_null(float("nan")).to_numpy(), dtype=np.float64)
