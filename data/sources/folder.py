"""A folder with one sub-folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.home import is_address, locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Folder(Source):
    """Labelled image files: ``path/class/.../file``. Classes: see `class_folders`."""

    kind: Literal["folder"] = "folder"
    purpose: ClassVar[str] = "a folder of class folders"

    path: Annotated[str, Field(min_length=1)]
    """The folder that holds the class folders, or its address (``s3://bucket/images``)."""

    @property
    def everywhere(self) -> bool:
        """Return whether the path is an address."""
        return is_address(self.path)

    def scan(self) -> Index:
        """List the files; ids and names are paths relative to ``path``.

        Raises:
            DataError: no such folder, or one without class folders.
        """
        if is_address(self.path):
            from clearsight.data.remote.folders import labelled_at

            return labelled_at(self.path)
        return labelled(locate(self.path))

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one file."""
        from clearsight.data.media.images import decode

        return decode(self._file(entry))

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one file."""
        from clearsight.data.media.files import content

        return content(self._file(entry))

    def _file(self, entry: Entry) -> Path:
        if is_address(self.path):
            from clearsight.data.remote.copies import placed_copy

            return placed_copy(self.path, str(entry.place))
        return locate(self.path) / str(entry.place)


def labelled(root: Path, head: str = "") -> Index:
    """List the images in the class folders below a folder.

    Args:
        root: the folder.
        head: what ids begin with, before the path relative to ``root``.

    Raises:
        DataError: as of `class_folders`.
    """
    from clearsight.data.media.files import beside, endings, images

    classes, labels = class_folders(root)
    known = endings()
    entries: list[Entry] = []
    passed_over = beside(root)
    for folder, label in labels.items():
        walked = images(root / folder, known=known)
        for place in (f"{folder}/{inside}" for inside in walked.names):
            name = printable(place)
            entries.append(Entry(f"{head}{name}", label, name, place))
        passed_over += (Skipped(f"{printable(folder)}/{it.id}", it.reason) for it in walked.passed_over)
    return Index(tuple(entries), classes, tuple(passed_over))


def class_folders(root: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the classes below a folder, and class folder -> label.

    In a benchmark that ``clearsight corrupt`` wrote, names and order are those of its manifest; elsewhere
    classes are the sub-folders, sorted by name.

    Raises:
        DataError: no class folders, or one that the manifest does not name.
    """
    from clearsight.data.benchmark.names import class_order
    from clearsight.data.media.files import subfolders

    return labelled_folders([folder.name for folder in subfolders(root)], class_order(root), str(root))


def labelled_folders(
    folders: Sequence[str], written: tuple[tuple[str, ...], dict[str, int]] | None, where: str
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the classes of class folders, and class folder -> label.

    Args:
        folders: their names, sorted.
        written: both, as the manifest of a benchmark says; None where there is none.
        where: they lie.

    Raises:
        DataError: there are none, or one that the manifest does not name.
    """
    from clearsight.data.benchmark.names import MANIFEST

    if not folders:
        raise DataError("holds no class folders", where=where, hint="for unlabelled images use kind: files")
    if written is None:
        return tuple(map(printable, folders)), {name: label for label, name in enumerate(folders)}
    classes, labels = written
    if foreign := [name for name in folders if name not in labels]:
        raise DataError(
            f"the folder '{foreign[0]}' is no class of its {MANIFEST}",
            where=where,
            hint="take it away, or read a copy without the manifest",
        )
    return classes, {name: labels[name] for name in folders}
