"""CIFAR-100 as published (Krizhevsky 2009), binary or python version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.cifar import Rows


class Cifar100(Source):
    """The exact 32x32 pixels of CIFAR-100. Both published versions give the same ids and contents."""

    kind: Literal["cifar100"] = "cifar100"
    purpose: ClassVar[str] = "CIFAR-100 as published, binary or python version"

    path: Annotated[str, Field(min_length=1)] = "cifar100"
    """The unpacked archive, or the folder it was unpacked in."""
    split: Literal["train", "test"] = "test"
    """Which of the two published parts."""
    labels: Literal["fine", "coarse"] = "fine"
    """The 100 classes, or the 20 superclasses."""

    def _rows(self) -> Rows:
        from clearsight.data.cifar import cifar100, rows

        return rows(locate(self.path), cifar100(self.labels), self.split)

    def scan(self) -> Index:
        """List the images in stored order.

        Raises:
            DataError: neither version is there, or its files are damaged.
        """
        found = self._rows()
        names = [f"cifar100/{self.split}/{row:05d}" for row in range(len(found.labels))]
        entries = tuple(Entry(name, found.labels[row], name, row) for row, name in enumerate(names))
        return Index(entries, found.classes)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Return one image."""
        return self._rows().image(int(entry.place))

    def content(self, entry: Entry) -> bytes:
        """Return the pixels of one image as stored."""
        return bytes(self._rows().pixels[int(entry.place)].tobytes())
