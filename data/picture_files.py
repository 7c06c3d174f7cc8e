"""Picture files below a folder, and their bytes. Shared by the sources that read loose files."""

from __future__ import annotations

from pathlib import Path

from data.contract.errors import DataError
from data.images import SUFFIXES


def pictures(folder: Path) -> list[str]:
    """Return the pictures below ``folder``, however deep, as sorted relative paths with forward slashes.

    Files are recognised by their ending; hidden files and folders are left out.
    """
    found = (path.relative_to(folder) for path in folder.rglob("*") if is_picture(path))
    return sorted(path.as_posix() for path in found if not _hidden(path))


def is_picture(path: Path) -> bool:
    """Return whether ``path`` is a file whose name ends as a picture's does."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly below ``folder``, sorted by name, without hidden ones.

    Raises:
        DataError: ``folder`` is not a folder.
    """
    if not folder.is_dir():
        raise DataError("is not a folder", where=str(folder))
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(Path(path.name)))


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
