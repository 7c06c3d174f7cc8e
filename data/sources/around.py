"""What sources around one other source have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.registry import Choice
from clearsight.data.sources.base import Entry, Source
from clearsight.data.sources.selection import fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Around(Source):
    """The images of another source, of which a subclass leaves some out or changes some."""

    of: Annotated[Source, Choice(SOURCES)]
    """Where the images come from; its own selection and size are applied first."""

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

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image, at the size that the source gives it."""
        return fit(self.of.load(entry), self.of.size, self.of.crop)

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one image."""
        return self.of.content(entry)
