"""A folder with one sub-folder a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Folder(Source):
    """Labelled image files: ``path/class/.../file``. Classes are the sub-folders, sorted by name."""

    kind: Literal["folder"] = "folder"
    purpose: ClassVar[str] = "a folder of class folders"

    path: Annotated[str, Field(min_length=1)]
    """The folder that holds the class folders."""

    def scan(self) -> Index:
        """List the files; ids and names are paths relative to ``path``.

        Raises:
            DataError: no such folder, or one without class folders.
        """
        from clearsight.data.media.files import images, subfolders

        root = locate(self.path)
        folders = subfolders(root)
        if not folders:
            raise DataError(
                "holds no class folders", where=str(root), hint="for unlabelled images use kind: files"
            )
        names = [
            (label, f"{folder.name}/{inside}")
            for label, folder in enumerate(folders)
            for inside in images(folder)
        ]
        entries = tuple(Entry(name, label, name, name) for label, name in names)
        return Index(entries, tuple(folder.name for folder in folders))

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one file."""
        from clearsight.data.media.images import decode

        return decode(locate(self.path) / str(entry.place))

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one file."""
        from clearsight.data.media.files import content

        return content(locate(self.path) / str(entry.place))
