"""A source without the images that ``clearsight sift`` would remove."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.text import from_cell
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source
from clearsight.data.sources.selection import fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD = ("id", "label", "score", "removed")
"""Columns of the file."""
YES = "yes"


class Sifted(Source):
    """The images of another source that a filter of training images would keep."""

    kind: Literal["sifted"] = "sifted"
    purpose: ClassVar[str] = "another source without the images that 'clearsight sift' removed"

    of: Annotated[Source, Choice(SOURCES)]
    """The images that were sifted; its own selection and size are applied first."""
    removed: Annotated[str, Field(min_length=1)]
    """The file ``images.csv`` of the sift."""

    @property
    def mapped(self) -> bool:
        """Return whether a ``label_map``, of this source or of the one in it, says what the labels mean."""
        return self.label_map is not None or self.of.mapped

    @property
    def synthetic(self) -> str:
        """Return what the source says."""
        return self.of.synthetic

    @property
    def everywhere(self) -> bool:
        """Return whether any machine can read the images of the source."""
        return self.of.everywhere

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

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image as its own source does."""
        return fit(self.of.load(entry), self.of.size, self.of.crop)

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one image."""
        return self.of.content(entry)

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
