"""The results of images as rows: a CSV file that can be continued, or lines of text."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.text import cell, from_cell, shown
from clearsight.data.home import replace_file
from clearsight.pipelines.inference.beside import NOTHING, Beside, cells_beside, in_words

BYTES = "surrogateescape"
"""File names that are not valid UTF-8 keep their bytes."""
FRESH = "--fresh replaces it"


@dataclass(frozen=True)
class Row:
    """Result for one image.

    Attributes:
        name: of its item.
        ranked: classes and probabilities, the likeliest first; empty where nothing is classified.
        width: of the upright image.
        height: likewise.
        frame: number in a video, from 0; None for images.
        beside: what the file says beside the classes.
    """

    name: str
    ranked: tuple[tuple[str, float], ...]
    width: int
    height: int
    frame: int | None = None
    beside: Beside = NOTHING


class Sink(Protocol):
    """Where rows go."""

    held: frozenset[str]
    """Names of items that an earlier call finished."""

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows of a block."""

    def mark(self) -> None:
        """Remember that all items so far are finished."""

    def undo(self) -> None:
        """Drop rows since the last mark."""


class Lines:
    """One line of text per image."""

    held: frozenset[str] = frozenset()

    def __init__(self, out: TextIO) -> None:
        """Write to ``out``."""
        self.out = out

    def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of images that are classified."""
        for row in rows:
            frame = "" if row.frame is None else f" frame {row.frame}"
            found = ", ".join(f"{label} {probability:.3f}" for label, probability in row.ranked)
            found += f"; {said}" if (said := in_words(row.beside)) else ""
            if found:
                self.out.write(f"{shown(row.name)}{frame}: {shown(found)}\n")
        self.out.flush()

    def mark(self) -> None:
        """Nothing is remembered."""

    def undo(self) -> None:
        """Nothing can be taken back."""


class Table:
    """A CSV file, with a record beside it of the lengths that it may be truncated to after a kill.

    Names and classes that a spreadsheet would read as a formula are prefixed with ``'``.

    Each block of rows is written at once, then the length of the file is recorded with the checksum of its
    content. Continuing truncates the file to the last recorded length, so that rows and blocks are those of
    an undisturbed run; a file whose content up to there has changed is refused.

    Attributes:
        held: names that the file holds already.
    """

    def __init__(self, path: Path, key: str, top: int, *, mode: str, beside: tuple[str, ...] = ()) -> None:
        """Begin a file, or continue one.

        Args:
            path: the CSV file.
            key: of all that decides the rows; a file with another key is not continued.
            top: classes per image, 0 where nothing is classified.
            mode: ``new`` (refuses an existing file), ``resume`` or ``fresh``.
            beside: columns of what the file says beside the classes.

        Raises:
            ConfigError: the file exists, was made with another key, was changed, or cannot be written.
        """
        self.path, self.record = path, record_of(path)
        self.held: frozenset[str] = frozenset()
        self.beside = beside
        self.head = columns(top, beside)
        self.key = hashlib.sha256(json.dumps([key, self.head], allow_nan=False).encode()).hexdigest()
        try:
            size = self._kept() if mode == "resume" and path.exists() else self._begun(mode)
            # The record is rewritten: a kill may have left half a line at its end.
            self.file = path.open("r+b", buffering=0)
            replace_file(self.record, f"{self.key}\n{self._line(size)}".encode())
            self.file.truncate(size)
            self.file.seek(size)
            self.marked, self.marked_sum = size, self.sum.copy()
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror or error}", where=str(path)) from None

    def _begun(self, mode: str) -> int:
        if mode == "new" and self.path.exists():
            raise ConfigError("exists already", where=str(self.path), hint=f"--resume continues it, {FRESH}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = _text([self.head])
        # The record first: a file without one could not be continued.
        self.sum = hashlib.sha256(head)
        replace_file(self.record, f"{self.key}\n{self._line(len(head))}".encode())
        replace_file(self.path, head)
        return len(head)

    def _kept(self) -> int:
        """Return how many bytes stay, and note the names in them."""
        where = str(self.path)
        lines = (
            self.record.read_text(encoding="utf-8", errors="replace").split("\n")
            if self.record.exists()
            else []
        )
        if lines[:1] != [self.key]:
            raise ConfigError("was made by another file, or with other options", where=where, hint=FRESH)
        data = self.path.read_bytes()
        found = (re.fullmatch(r"(\d{1,18}) ([0-9a-f]{64})", line) for line in lines[1:-1])
        ends = {int(end[1]): end[2] for end in found if end and int(end[1]) <= len(data)}
        size = max(ends, default=0)
        self.sum = hashlib.sha256(data[:size])
        if self.sum.hexdigest() != ends.get(size):
            raise ConfigError("was changed since", where=where, hint=FRESH)
        with io.StringIO(data[:size].decode("utf-8", BYTES), newline="") as text:
            rows = list(csv.reader(text))
        whole = data[:size].endswith(b"\n") and rows[:1] == [self.head]
        if not whole or any(len(row) != len(self.head) for row in rows):
            raise ConfigError("was changed since", where=where, hint=FRESH)
        self.held = frozenset(from_cell(row[0]) for row in rows[1:])
        return size

    def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of a block at once, except those that are held already.

        Raises:
            RunError: they cannot be written, for instance because the disk is full.
        """
        data = memoryview(_text([_values(row, self.beside) for row in rows if row.name not in self.held]))
        try:
            while data:
                written = self.file.write(data)
                self.sum.update(data[:written])
                data = data[written:]
        except OSError as error:
            raise RunError(
                f"cannot be written: {error.strerror or error}",
                where=str(self.path),
                hint="fix it, and continue with --resume",
            ) from None

    def mark(self) -> None:
        """Record the present length of the file as one that it may be truncated to."""
        end = self.file.tell()
        if end != self.marked:
            with self.record.open("ab", buffering=0) as record:
                record.write(self._line(end).encode())
            self.marked, self.marked_sum = end, self.sum.copy()

    def undo(self) -> None:
        """Drop rows since the last mark."""
        self.file.truncate(self.marked)
        self.file.seek(self.marked)
        self.sum = self.marked_sum.copy()

    def _line(self, end: int) -> str:
        """Return the line of the record for a length of the file."""
        return f"{end} {self.sum.hexdigest()}\n"

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def record_of(path: Path) -> Path:
    """Return where the record of a CSV file lies."""
    return path.with_name(f".{path.name}.clearsight")


def columns(top: int, beside: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the columns."""
    ranked = [
        f"{name}{'' if at == 1 else f'_{at}'}"
        for at in range(1, top + 1)
        for name in ("label", "probability")
    ]
    return ["path", *ranked, *beside, "width", "height", "frame"]


def _values(row: Row, beside: tuple[str, ...]) -> list[object]:
    ranked = (part for label, p in row.ranked for part in (cell(label), f"{p:.6f}"))
    size = (row.width, row.height, "" if row.frame is None else row.frame)
    return [cell(row.name), *ranked, *cells_beside(row.beside, beside), *size]


def _text(rows: Sequence[Sequence[object]]) -> bytes:
    lines = []
    for row in rows:
        with io.StringIO(newline="") as out:
            # With this line terminator the writer quotes names that hold either of its characters. Readers
            # would end a row at a bare carriage return, and read what follows it as a cell.
            csv.writer(out, lineterminator="\r\n").writerow(row)
            lines.append(out.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines).encode("utf-8", BYTES)
