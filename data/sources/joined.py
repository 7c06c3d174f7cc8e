"""Several sources read as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.registry import Choice
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Joined(Source):
    """All images of several sources with the same classes, one source after the other.

    With ``labels: false`` the classes may differ: the images come without labels.

    Images keep their ids; where two sources share one, all ids begin with the number of their source. The
    sources' own ``hold_out``, ``take`` and ``label_map`` are applied first, then those of this one; resizing
    (``size``, ``crop``) is this one's alone.
    """

    kind: Literal["joined"] = "joined"
    purpose: ClassVar[str] = "several sources with the same classes, read as one"

    of: Annotated[tuple[Annotated[Source, Choice(SOURCES)], ...], Field(min_length=1)]
    """The sources, each written like any other; one alone is split once more by this one's ``hold_out``."""
    labels: bool = True
    """False drops the labels, for training without them on sources whose classes differ."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the images; ``labels: true`` is left out, so that older keys stay valid."""
        return {name: value for name, value in super().identity().items() if name != "labels" or not value}

    @property
    def mapped(self) -> bool:
        """Return whether a ``label_map``, of this source or of one in it, says what the labels mean."""
        return self.label_map is not None or any(source.mapped for source in self.of)

    @property
    def synthetic(self) -> str:
        """Return what its sources say where they agree, else ``partly synthetic``."""
        found = {source.synthetic for source in self.of}
        return found.pop() if len(found) == 1 else "partly synthetic"

    @property
    def everywhere(self) -> bool:
        """Return whether any machine can read the images of all sources."""
        return all(source.everywhere for source in self.of)

    def scan(self) -> Index:
        """List the images of all sources.

        Raises:
            DataError: two sources do not have the same classes in the same order.
        """
        indices = [source.index() for source in self.of]
        for number, index in enumerate(indices):
            if self.labels and index.classes != indices[0].classes:
                raise DataError(
                    f"its source {number} has other classes than its source 0",
                    where="source joined",
                    hint="give each of them a label_map, or drop the labels with labels: false",
                )
        ids = [entry.id for index in indices for entry in index.entries]
        shared = len(set(ids)) < len(ids)
        entries = tuple(
            replace(
                entry,
                id=f"{number}/{entry.id}" if shared else entry.id,
                place=f"{number}:{entry.place}",
                truth=entry.truth if self.labels else None,
            )
            for number, index in enumerate(indices)
            for entry in index.entries
        )
        passed_over = tuple(skipped for index in indices for skipped in index.passed_over)
        return Index(entries, indices[0].classes if self.labels else (), passed_over)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image as its own source does."""
        source, own = self._own(entry)
        return source.load(own)

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one image."""
        source, own = self._own(entry)
        return source.content(own)

    def _own(self, entry: Entry) -> tuple[Source, Entry]:
        """Return the source of an entry, and the entry as that source knows it.

        Sources that number their places read the number out of the text again (`Entry.place` is either).
        """
        number, _, place = str(entry.place).partition(":")
        return self.of[int(number)], replace(entry, place=place)
