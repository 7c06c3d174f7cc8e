"""What CIFAR-10 and CIFAR-100 as published have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from clearsight.data.contract.spec import kind_of
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.cifar import Layout, Rows


class CifarSource(Source):
    """The exact 32x32 pixels of one published part. Both versions give the same ids and contents."""

    path: str
    """The unpacked archive, or the folder it was unpacked in."""
    split: Literal["train", "test"] = "test"
    """Which of the two published parts."""

    @abstractmethod
    def layouts(self) -> Sequence[Layout]:
        """Return the layout on disk of the published versions."""

    def _rows(self) -> Rows:
        from clearsight.data.cifar import rows

        return rows(locate(self.path), self.layouts(), self.split)

    def scan(self) -> Index:
        """List the images in stored order.

        Raises:
            DataError: neither version is there, or its files are damaged.
        """
        table = self._rows()
        names = [f"{kind_of(self)}/{self.split}/{row:05d}" for row in range(len(table.labels))]
        entries = tuple(Entry(name, table.labels[row], name, row) for row, name in enumerate(names))
        return Index(entries, table.classes)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Return one image."""
        return self._rows().image(int(entry.place))

    def content(self, entry: Entry) -> bytes:
        """Return the pixels of one image as stored."""
        return bytes(self._rows().pixels[int(entry.place)].tobytes())
