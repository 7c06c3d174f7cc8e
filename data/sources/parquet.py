"""Parquet files in the layout of Hugging Face data sets: one row an image, encoded bytes inside."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, first_line, near_miss
from clearsight.data.home import is_address, locate, locate_once
from clearsight.data.sources.base import Entry, Index, Source
from clearsight.data.sources.selection import MOST_CLASSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUPS_KEPT = 4
"""Row groups whose encoded images stay in memory."""


class Parquet(Source):
    """One parquet file: column ``image`` = struct(bytes, path) or binary, column ``label`` = integer."""

    kind: Literal["parquet"] = "parquet"
    purpose: ClassVar[str] = "a parquet file of encoded images (Hugging Face layout)"

    path: Annotated[str, Field(min_length=1)]
    """The file, or its address (``hf://datasets/...``), which is fetched whole; `clearsight.data.home.locate`
    says where a file may lie."""
    image_column: str = "image"
    """Column that holds the encoded images."""
    label_column: str | None = "label"
    """Column that holds the class indices; null reads the images without labels."""

    @property
    def everywhere(self) -> bool:
        """Return whether the path is an address."""
        return is_address(self.path)

    def scan(self) -> Index:
        """List the rows; class names come from the schema metadata, else from the labels themselves.

        Raises:
            DataError: no such file, not parquet, or without these columns.
        """
        path = locate(self.path)
        table, features = _facts(str(path), *_stamp(path), self.image_column, self.label_column)
        names, labels = table["names"], table["labels"]
        classes = _class_names(features, self.label_column, labels, self.path)
        entries = tuple(
            Entry(
                id=f"{path.stem}/{row:06d}",
                truth=_label(labels[row], len(classes), path, row) if labels is not None else None,
                name=names[row] if names is not None and names[row] else f"{row:06d}",
                place=row,
            )
            for row in range(table["rows"])
        )
        return Index(entries, classes)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one row."""
        from clearsight.data.media.images import decode

        return decode(self.content(entry), name=entry.id)

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one row."""
        path, row = locate_once(self.path), int(entry.place)
        stamp = _stamp(path)
        starts = _starts(str(path), *stamp)
        group = bisect_right(starts, row) - 1
        column = _images(str(path), *stamp, group, self.image_column)
        data = column[row - starts[group]].as_py()
        if data is None:
            raise DataError("the row holds no image", where=entry.id)
        return bytes(data)


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes when the file is replaced: caches are keyed by it."""
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return facts.st_mtime_ns, facts.st_size


def _open(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise DataError(f"cannot be read as parquet: {reason}", where=path) from None


@lru_cache(maxsize=8)
def _facts(
    path: str, _time: int, _size: int, image: str, label: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (rows, names, labels) and the features that the schema metadata declares."""
    import pyarrow as pa

    with _open(path) as file:
        schema = file.schema_arrow
        for column in filter(None, (image, label)):
            if column not in schema.names:
                raise DataError(f"has no column '{column}'", where=path, hint=near_miss(column, schema.names))
        kind = schema.field(image).type
        _check_images(kind, image, path)
        named = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
        wanted = ([f"{image}.path"] if named else []) + ([label] if label else [])
        try:
            table = file.read(columns=wanted) if wanted else None
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is damaged: {first_line(error)}", where=path) from None
        found = {
            "rows": file.metadata.num_rows,
            "names": [cell["path"] if cell else None for cell in table[image].to_pylist()]
            if named and table is not None
            else None,
            "labels": table[label].to_pylist() if label and table is not None else None,
        }
        return found, _features(schema.metadata or {})


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        told = json.loads(metadata.get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    info = told.get("info") if isinstance(told, dict) else None
    features = info.get("features") if isinstance(info, dict) else None
    return features if isinstance(features, dict) else {}


def _class_names(
    features: dict[str, Any], column: str | None, labels: list[Any] | None, where: str
) -> tuple[str, ...]:
    declared = features.get(column) if column else None
    if isinstance(declared, dict) and isinstance(declared.get("names"), list):
        return tuple(map(str, declared["names"]))
    largest = max((label for label in labels or [] if isinstance(label, int)), default=-1)
    if largest >= MOST_CLASSES:
        raise DataError(
            f"label {largest} is beyond the {MOST_CLASSES} classes that there can be", where=where
        )
    return tuple(map(str, range(largest + 1)))


def _label(value: Any, classes: int, path: Path, row: int) -> int | None:
    """Return the label of a row; -1 and null mean "none", as Hugging Face data sets write it."""
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or not 0 <= value < classes:
        raise DataError(f"label {value!r} is none of the {classes} classes", where=f"{path}, row {row}")
    return value


@lru_cache(maxsize=8)
def _starts(path: str, _time: int, _size: int) -> tuple[int, ...]:
    """Return the first row of each row group."""
    with _open(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return tuple(sum(sizes[:group]) for group in range(len(sizes)))


@lru_cache(maxsize=GROUPS_KEPT)
def _images(path: str, _time: int, _size: int, group: int, image: str) -> Any:
    """Return the encoded images of one row group as an arrow array of binaries."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with _open(path) as file:
        kind = file.schema_arrow.field(image).type
        inside = pa.types.is_struct(kind)
        try:
            column = file.read_row_group(group, columns=[f"{image}.bytes" if inside else image])[image]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is damaged: {first_line(error)}", where=path) from None
        column = column.combine_chunks()
        return pc.struct_field(column, "bytes") if inside else column


def _check_images(kind: Any, column: str, path: str) -> None:
    import pyarrow as pa

    held = kind
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        held = kind.field("bytes").type
    if not (pa.types.is_binary(held) or pa.types.is_large_binary(held)):
        raise DataError(f"column '{column}' holds {kind}, not encoded images", where=path)
