"""Image files below a folder, and their bytes. Shared by the sources that read loose files."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.contract.errors import DataError
from clearsight.data.media.images import SUFFIXES


def images(folder: Path, pattern: str = "**/*") -> list[str]:
    """Return the images below ``folder`` that a glob matches, as sorted relative POSIX paths.

    Files are recognised by their ending; hidden files and folders are left out (some systems put a hidden
    ``._x.jpg`` beside every image).

    Raises:
        DataError: the pattern is not a valid glob.
    """
    try:
        matches = list(folder.glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"is not a valid glob: {error}", where=pattern) from None
    found = (path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file())
    inside = (path.relative_to(folder) for path in found)
    return sorted({path.as_posix() for path in inside if not _hidden(path)})


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly below ``folder``, sorted by name, without hidden ones.

    Raises:
        DataError: ``folder`` is not a folder.
    """
    if not folder.is_dir():
        raise DataError("is not a folder", where=str(folder))
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(Path(path.name)))


def printable(name: str) -> str:
    """Return a file name as valid text: bytes that are not UTF-8 are written as escapes."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def content(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
