"""`Source`: where labelled or unlabelled images come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, final

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.sources.entries import Entry, Index
from clearsight.data.sources.selection import HoldOut, Selection, fit, select

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Entry", "HoldOut", "Index", "Source"]
"""What the author of a source needs."""


class Source(Selection):
    """Base of all sources. A subclass adds ``kind``, its own fields and the hooks ``scan`` and ``load``."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    def scan(self) -> Index:
        """Hook: list the images without decoding them."""
        raise NotImplementedError

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Hook: return one image as uint8 (h, w, 3); raise `DataError` where it cannot be used."""
        raise NotImplementedError

    @final
    def index(self) -> Index:
        """Return the images that are left after ``hold_out``, ``subset``, ``label_map`` and ``take``."""
        return select(self, self.scan())

    @final
    def read(self, entries: Sequence[Entry]) -> list[Sample | Skipped]:
        """Decode (and resize) images; one that cannot be used becomes a `Skipped` with the reason."""
        samples: list[Sample | Skipped] = []
        for entry in entries:
            try:
                image = fit(self.load(entry), self.size, self.crop)
            except DataError as error:
                samples.append(Skipped(entry.id, str(error)))
                continue
            samples.append(Sample(entry.id, image, entry.truth))
        return samples

    def fingerprint(self, entries: Sequence[Entry]) -> str:
        """Return a key of what the images hold (not of where they lie): it goes into the cells' keys.

        It stands for ids, labels and contents of the images as read. An image whose file cannot be read any
        more counts with its id and label only: `read` reports it.
        """
        total = hashlib.sha256()
        head = {"size": self.size, "crop": self.crop, "label_map": self.label_map}
        total.update(json.dumps(head, sort_keys=True).encode())
        for entry in entries:
            try:
                content = self.content(entry)
            except DataError:
                content = b""
            line = json.dumps([entry.id, entry.truth, hashlib.sha256(content).hexdigest()])
            total.update(line.encode())
        return total.hexdigest()

    def content(self, entry: Entry) -> bytes:
        """Hook for `fingerprint`: bytes that change when the image changes (its encoded file)."""
        raise NotImplementedError
