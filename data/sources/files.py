"""Loose image files without labels: one file, a folder or a glob."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.text import printable
from clearsight.data.home import expanded, is_address, locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WILD = "*?["


class Files(Source):
    """Unlabelled image files. Ids are paths relative to the folder (or to the fixed part of the glob)."""

    kind: Literal["files"] = "files"
    purpose: ClassVar[str] = "unlabelled images: a file, a folder or a glob"

    path: Annotated[str, Field(min_length=1)]
    """A file, a folder (searched to the bottom) or a glob such as ``photos/**/*.jpg``; or the address of one
    (``s3://bucket/photos``)."""

    @property
    def everywhere(self) -> bool:
        """Return whether the path is an address."""
        return is_address(self.path)

    def scan(self) -> Index:
        """List the files, sorted by id.

        Raises:
            DataError: there are none.
        """
        from clearsight.data.media.files import images, none_found
        from clearsight.data.media.walk import EVERYTHING, Walked

        if is_address(self.path):
            from clearsight.data.remote.folders import files_at

            return files_at(self.path)
        root, pattern = _parts(self.path)
        walked = Walked([root.name]) if root.is_file() else images(root, pattern or EVERYTHING)
        if not walked.names:
            raise none_found("images", self.path, walked.passed_over)
        entries = (Entry(printable(name), None, printable(name), name) for name in walked.names)
        return Index(tuple(entries), (), tuple(walked.passed_over))

    def _file(self, entry: Entry) -> Path:
        if is_address(self.path):
            from clearsight.data.remote.copies import placed_copy
            from clearsight.data.remote.folders import root_of

            return placed_copy(root_of(self.path), str(entry.place))
        root, _ = _parts(self.path)
        return root if root.is_file() else root / str(entry.place)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one file."""
        from clearsight.data.media.images import decode

        return decode(self._file(entry))

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one file."""
        from clearsight.data.media.files import content

        return content(self._file(entry))


def _parts(path: str) -> tuple[Path, str]:
    """Split a glob into the folder before its first wild part and the rest; other paths have no rest."""
    parts = PurePosixPath(expanded(path).as_posix()).parts
    wild = next((number for number, part in enumerate(parts) if any(c in part for c in WILD)), None)
    if wild is None:
        return locate(path), ""
    try:
        return locate(path), ""  # a name may really contain brackets
    except DataError:
        return locate(str(PurePosixPath(*parts[:wild]))), str(PurePosixPath(*parts[wild:]))
