"""A source without the images that ``clearsight sift`` would remove."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.text import from_cell
from clearsight.data.home import locate
from clearsight.data.sources.around import Around
from clearsight.data.sources.base import Index

HEAD = ("id", "label", "score", "removed")
"""Columns of the file."""
YES = "yes"


class Sifted(Around):
    """The images of another source that a filter of training images would keep."""

    kind: Literal["sifted"] = "sifted"
    purpose: ClassVar[str] = "another source without the images that 'clearsight sift' removed"

    removed: Annotated[str, Field(min_length=1)]
    """The file ``images.csv`` of the sift."""

    def scan(self) -> Index:
        """List the images that are kept.

        Raises:
            DataError: the file cannot be read, or is about other images.
        """
        index = self.of.index()
        removed = self._removed()
        if strange := removed - {entry.id for entry in index.entries}:
            raise DataError(
                f"names {len(strange)} images that 'of' does not have, such as '{min(strange)}'",
                where=self.removed,
                hint="'of' has to be the source that was sifted",
            )
        return replace(index, entries=tuple(e for e in index.entries if e.id not in removed))

    def _removed(self) -> set[str]:
        path = locate(self.removed)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot be read: {error}", where=str(path)) from None
        if not rows or tuple(rows[0]) != HEAD or any(len(row) != len(HEAD) for row in rows):
            raise DataError(
                f"is not the list of a sift: its columns have to be {', '.join(HEAD)}", where=str(path)
            )
        return {from_cell(row[0]) for row in rows[1:] if row[-1] == YES}
