"""ImageNet-C as published: JPEG files below corruption, severity and class folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, near_miss
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageNetC(Source):
    """One corruption at one severity (Hendrycks & Dietterich 2019): ``corruption/severity/class/file``."""

    kind: Literal["imagenet_c"] = "imagenet_c"
    purpose: ClassVar[str] = "ImageNet-C as published, one corruption and severity"

    path: Annotated[str, Field(min_length=1)]
    """The folder that holds the corruptions' folders."""
    corruption: Annotated[str, Field(min_length=1)]
    """Folder name of the corruption, such as ``gaussian_noise``."""
    severity: Annotated[int, Field(ge=1, le=5)] = 3
    """1 is weakest, 5 is strongest."""

    def _root(self) -> Path:
        return locate(self.path) / self.corruption / str(self.severity)

    def scan(self) -> Index:
        """List the files; classes are those of a manifest, else the class folders sorted by name.

        Raises:
            DataError: no such folder, corruption or severity.
        """
        from clearsight.data.media.files import subfolders
        from clearsight.data.sources.folder import labelled

        corruptions = [folder.name for folder in subfolders(locate(self.path))]
        if self.corruption not in corruptions:
            raise DataError(
                f"has no corruption '{self.corruption}'",
                where=self.path,
                hint=near_miss(self.corruption, corruptions),
            )
        return labelled(self._root(), f"imagenet_c/{self.corruption}/{self.severity}/")

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one file."""
        from clearsight.data.media.images import decode

        return decode(self._root() / str(entry.place))

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one file."""
        from clearsight.data.media.files import content

        return content(self._root() / str(entry.place))
