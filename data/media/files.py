"""Image files below a folder, and their bytes. Shared by the sources that read loose files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.media.walk import EVERYTHING, Walked, walk


def endings() -> frozenset[str]:
    """Return the file name endings of images, those of installed plug-ins among them."""
    # Imported here: listing kinds of sources needs no numpy.
    from clearsight.data.media.images import suffixes

    return suffixes()


def images(folder: Path, pattern: str = EVERYTHING, *, known: frozenset[str] | None = None) -> Walked:
    """Return the images below ``folder`` that a glob matches, and what is passed over.

    Files are recognised by their ending; hidden files and folders are not used (some systems put a hidden
    ``._x.jpg`` beside every image).

    Args:
        folder: the folder.
        pattern: the glob.
        known: what `endings` returned, for many folders: to look for plug-ins takes a millisecond.

    Raises:
        DataError: the pattern is not a valid glob.
    """
    try:
        return walk(folder, endings() if known is None else known, pattern)
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"is not a valid glob: {error}", where=pattern) from None


def none_found(what: str, where: str, passed_over: Sequence[Skipped]) -> DataError:
    """Return the error of a place that holds nothing of use, with the first of what was passed over."""
    hint = "check the path and the file endings"
    if passed_over:
        first = passed_over[0]
        hint = f"{len(passed_over)} passed over, the first: {first.id} {first.reason}"
    return DataError(f"holds no {what}", where=where, hint=hint)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly below ``folder``, sorted by name, without hidden ones.

    Raises:
        DataError: ``folder`` is not a folder.
    """
    if not folder.is_dir():
        raise DataError("is not a folder", where=str(folder))
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def beside(folder: Path) -> list[Skipped]:
    """Return what lies directly below ``folder`` and is none of its `subfolders`, with the reason."""
    return [
        Skipped(
            printable(path.name),
            "is a hidden folder" if path.is_dir() else "lies beside the class folders, in no class",
        )
        for path in sorted(set(folder.iterdir()).difference(subfolders(folder)))
    ]


def content(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        # Reading a pipe or a device might never end.
        if not S_ISREG(path.stat().st_mode):
            raise DataError("is not a file", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
