"""`Source`: where labelled or unlabelled images come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, final

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.sources.entries import Entry, Index
from clearsight.data.sources.selection import HoldOut, Selection, fit, fit_boxes, select

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Entry", "HoldOut", "Index", "Source"]
"""What the author of a source needs."""


LOOKED_AT = 64
"""Images that `Source.sizes` decodes."""


def middle_side(sizes: Mapping[tuple[int, int], int]) -> float:
    """Return the median of the shorter sides in pixels of images: (height, width) -> how many."""
    from statistics import median

    return float(median(min(size) for size, count in sizes.items() for _ in range(count)))


class Source(Selection):
    """Base of all sources. A subclass adds ``kind``, its own fields and the hooks ``scan`` and ``load``."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    @property
    def synthetic(self) -> str:
        """Return ``synthetic`` where a program drew the images, ``partly synthetic`` for some, "" for none.

        Results on drawings say nothing about real images, so every table of them is marked.
        """
        return ""

    @property
    def everywhere(self) -> bool:
        """Return whether any machine can read the images: they lie at an address, or a program draws them.

        Workers on other machines then read them there themselves; else the driver sends them.
        """
        return False

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
    def read(self, entries: Sequence[Entry], digests: Sequence[str] | None = None) -> list[Sample | Skipped]:
        """Decode (and resize) images; one that cannot be used becomes a `Skipped` with the reason.

        Args:
            entries: of this source.
            digests: what `digests` returned for these entries. An image that has changed since is skipped:
                its results would be filed under another image's fingerprint.
        """
        samples: list[Sample | Skipped] = []
        for number, entry in enumerate(entries):
            try:
                stored = self.load(entry)
                boxes = fit_boxes(entry.boxes, stored.shape[:2], self.size, self.crop)
                image = fit(stored, self.size, self.crop)
                # After the pixels, so that a file replaced since is found whichever of the two was read.
                if digests is not None and self._digest(entry) != digests[number]:
                    raise DataError("has changed since it was first read")
            except DataError as error:
                samples.append(Skipped(entry.id, str(error)))
                continue
            samples.append(Sample(entry.id, image, entry.truth, boxes))
        return samples

    def sizes(self, entries: Sequence[Entry]) -> dict[tuple[int, int], int]:
        """Return (height, width) -> how many, of up to 64 usable images, evenly spread."""
        count = min(len(entries), LOOKED_AT)
        chosen = [entries[i * len(entries) // count] for i in range(count)]
        found = [sample.image.shape[:2] for sample in self.read(chosen) if isinstance(sample, Sample)]
        return {size: found.count(size) for size in sorted(set(found))}

    @final
    def digests(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Return the sha256 of each image's content; that of no bytes where it cannot be read."""
        return tuple(map(self._digest, entries))

    def _digest(self, entry: Entry) -> str:
        try:
            content = self.content(entry)
        except DataError:
            content = b""
        return hashlib.sha256(content).hexdigest()

    def fingerprint(self, entries: Sequence[Entry], digests: Sequence[str] | None = None) -> str:
        """Return a key of what the images hold (not of where they lie): it goes into the cells' keys.

        It stands for ids, labels, boxes and contents of the images as read. An image whose file cannot be
        read any more counts with its id, label and boxes only: `read` reports it.

        Args:
            entries: of this source.
            digests: their `digests`, where they are known already.
        """
        total = hashlib.sha256()
        head = {"size": self.size, "crop": self.crop, "label_map": self.label_map}
        total.update(json.dumps(head, sort_keys=True, allow_nan=False).encode())
        found = self.digests(entries) if digests is None else digests
        for entry, content in zip(entries, found, strict=True):
            told: list[object] = [entry.id, entry.truth, content]
            if entry.boxes is not None:
                told.append(list(map(list, entry.boxes.items)))
            total.update(json.dumps(told, allow_nan=False).encode())
        return total.hexdigest()

    def content(self, entry: Entry) -> bytes:
        """Hook for `digests`: bytes that change when the image changes (its encoded file)."""
        raise NotImplementedError
