"""The run folder: files that appear whole or not at all, and the tables made of the chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import replace_file
from clearsight.data.seals import Seal

if TYPE_CHECKING:
    import pyarrow as pa

    from clearsight.data.contract.column import Column
    from clearsight.pipelines.runs.grid import Cell

Row = dict[str, Any]
Chunks = Mapping[str, Sequence[Seal]]
"""Key of a cell -> the seals of its chunks, in order."""
FLOATS = (
    *("confidence", "loss", "brier", "margin", "linf", "l2", "psnr_in", "psnr_out", "ssim_in", "ssim_out"),
    *("psnr_y_out", "ssim_y_out", "niqe_out"),
    *("l1", "zero_gradients", "loss_before"),
)
COUNTS = ("queries", "backwards")
ATTACK_COLUMNS = ("linf", "l2", "l1", "zero_gradients", "loss_before", *COUNTS)
OWN_COLUMNS = ("system", "condition", "attack", "id", "label", "prediction", "margin")
RESERVED = frozenset({*OWN_COLUMNS, *ATTACK_COLUMNS})
"""Columns that the run itself fills: no metric may write them."""


def arrow_type(dtype: str) -> pa.DataType:
    """Return how a column of this type is stored."""
    import pyarrow as pa

    if dtype.startswith("list["):
        return pa.list_(arrow_type(dtype.removeprefix("list[").removesuffix("]")))
    return pa.bool_() if dtype == "bool" else getattr(pa, dtype)()


def row_schema(measured: Iterable[Column] = ()) -> pa.Schema:
    """Return the columns of one row per (cell, sample). Missing values are null.

    The first ones are those of every run, in the order that ``results.parquet`` has always had.

    Args:
        measured: columns of the run's metrics; those that not every run has come last, sorted by name.
    """
    import pyarrow as pa

    every = {
        "id": pa.string(),
        "label": pa.int32(),
        "prediction": pa.int32(),
        "correct": pa.bool_(),
        "majority": pa.bool_(),
        **dict.fromkeys(FLOATS, pa.float32()),
        **dict.fromkeys(COUNTS, pa.int64()),
    }
    further = {column.name: arrow_type(column.dtype) for column in sorted(measured, key=lambda c: c.name)}
    return pa.schema(list((every | {n: t for n, t in further.items() if n not in every}).items()))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read it: {error}", where=str(path)) from None


def open_folder(root: Path, name: str, key: str, *, fresh: bool) -> RunFolder:
    """Return the folder of the run with this key: the one that was begun before, or a new one.

    Args:
        root: where run folders are kept.
        name: the config's name.
        key: key of everything that decides the results.
        fresh: begin a new folder beside one that exists.
    """
    ending = f"_{name}_{key[:8]}"
    begun = sorted(path for path in root.glob(f"*{ending}*") if path.is_dir())
    if begun and not fresh:
        return RunFolder(begun[-1])
    again = f"-{len(begun) + 1}" if begun else ""
    folder = RunFolder(root / f"{date.today().isoformat()}{ending}{again}")
    folder.cells.mkdir(parents=True)
    return folder


def rows_to_bytes(rows: Sequence[Row], measured: Iterable[Column] = ()) -> bytes:
    """Return the content of a chunk file; ``measured`` are the columns of the run's metrics."""
    import pyarrow as pa

    return table_to_bytes(pa.Table.from_pylist(list(rows), schema=row_schema(measured)))


def assemble(
    folder: RunFolder, cells: Iterable[Cell], chunks: Chunks, measured: Sequence[Column] = ()
) -> pa.Table:
    """Join chunks in the order of the grid; the table holds no times, so that equal runs give equal bytes.

    Args:
        folder: of the run.
        cells: whose chunks are all there.
        chunks: their seals.
        measured: columns of the run's metrics.

    Raises:
        RunError: a file is not what its seal says.
    """
    import pyarrow as pa

    tables = []
    for cell in cells:
        contents = (seal.read(folder.chunk(cell.key, i)) for i, seal in enumerate(chunks[cell.key]))
        rows = pa.concat_tables([_rows(content, measured) for content in contents])
        for name in ("attack", "condition", "system"):
            column = pa.array([getattr(cell, name)] * rows.num_rows, pa.string())
            rows = rows.add_column(0, name, column)
        tables.append(rows)
    return pa.concat_tables(tables).combine_chunks()


def _rows(content: bytes, measured: Iterable[Column]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.read_table(pa.BufferReader(content), schema=row_schema(measured))


def correct_of(content: bytes) -> list[bool | None]:
    """Return which rows of a chunk file are right; None where that is unknown."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content), columns=["correct"])
    right: list[bool | None] = table.column("correct").to_pylist()
    return right


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write plain rows as parquet, with the types that pyarrow infers."""
    import pyarrow as pa

    replace_file(path, table_to_bytes(pa.Table.from_pylist(list(rows))))


def table_to_bytes(table: pa.Table) -> bytes:
    """Return a table as a parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
