"""Where data, weights and caches live, and how to write files that a kill cannot leave half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from clearsight.data.contract.errors import DataError, RunError

ADDRESS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
LONGEST_NAME = 255
"""Longest file name that file systems allow, in bytes."""


def home() -> Path:
    """Return ``$CLEARSIGHT_HOME``, by default the platform's cache folder."""
    if told := os.environ.get("CLEARSIGHT_HOME"):
        return expanded(told)
    from platformdirs import user_cache_path

    return user_cache_path("clearsight")


def locate(path: str) -> Path:
    """Return the file or folder that a config means by ``path``.

    An absolute path stands for itself; a relative one is looked for below the working folder, then
    ``$CLEARSIGHT_DATA``, then ``$CLEARSIGHT_HOME/data``. Of an address (``s3://...``) it is the local copy of
    the file, as the store has it now.

    Raises:
        DataError: it is in none of these places; the message lists them.
    """
    if is_address(path):
        from clearsight.data.remote.copies import file_copy

        return file_copy(path)
    given = expanded(path)
    places = [Path.cwd(), home() / "data"]
    if told := os.environ.get("CLEARSIGHT_DATA"):
        places.insert(1, expanded(told))
    for place in places:
        if (place / given).exists():
            return (place / given).resolve()
    looked = "" if given.is_absolute() else f" (looked in {', '.join(map(str, places))})"
    raise DataError(
        f"no such file or folder{looked}", where=path, hint="fix the path, or set CLEARSIGHT_DATA"
    )


def locate_once(path: str) -> Path:
    """Return what `locate` returned before: looking again for every row takes longer than reading the row."""
    if is_address(path):
        from clearsight.data.remote.copies import seen_copy

        return seen_copy(path)
    return _located(path, os.getcwd(), os.environ.get("CLEARSIGHT_DATA"), os.environ.get("CLEARSIGHT_HOME"))


@lru_cache(maxsize=64)
def _located(path: str, *_places: str | None) -> Path:
    return locate(path)


def is_address(path: object) -> bool:
    """Return whether a path is the address of something that does not lie on this machine (``s3://...``)."""
    return ADDRESS.match(str(path)) is not None


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and environment variables (``$HOME``) replaced, as a shell does it."""
    # Not Path.expanduser, which stops at users that are not there; a shell leaves their names alone.
    return Path(os.path.expanduser(os.path.expandvars(path)))


def writable_folder(path: Path) -> Path:
    """Make a folder for results and check, before any work is done, that files can be written there.

    Raises:
        RunError: it cannot be made, is something else, or takes no files (permission, a full disk).
    """
    import tempfile

    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        reason = "is no folder" if path.exists() and not path.is_dir() else error.strerror or str(error)
        raise RunError(
            f"results cannot be written there: {reason}",
            where=str(path),
            hint="choose another folder, or make room",
        ) from None
    return path


def writable_file(path: Path) -> Path:
    """Check, before any work is done, that a file of results can be written; its folder is made.

    Raises:
        RunError: it is a folder, a device or a pipe, or its folder takes no files.
    """
    writable_folder(path.parent)
    try:
        _refuse_special(path)
    except OSError as error:
        reason = f"results cannot be written there: {error.strerror}"
        raise RunError(reason, where=str(path), hint="name a file") from None
    return path


def _refuse_special(path: Path) -> None:
    """Refuse to replace a folder, a device or a pipe: moving a file over one would destroy it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        # Nothing is there; whatever else keeps it from being looked at will be said by the writing.
        return
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Is no regular file", str(path))


def temporary_path(path: Path, ending: str = "") -> Path:
    """Return the name under which this process writes a file until it is complete.

    Args:
        path: the file; its name may be as long as file systems allow (255 bytes).
        ending: appended to the name, for programs that tell the format by it.
    """
    return path.with_name(f"{_beginning(path.name)}{os.getpid()}.tmp{ending}")


def _beginning(name: str) -> str:
    """Return what all temporary names of a file begin with; shortened where the rest would not fit."""
    bytes_ = os.fsencode(name)
    if len(bytes_) <= LONGEST_NAME - len(f"..{2**64}.tmp.jpeg"):
        return f".{name}."
    return f".{hashlib.sha256(bytes_).hexdigest()}."


def remove_half_written(folder: Path, names: Iterable[str]) -> None:
    """Delete the temporary files of some files of a folder, which a killed process left there."""
    known = {_beginning(name) for name in names}
    for path in folder.glob(".*.tmp*"):
        beginning, dot, _ = path.name.rpartition(".tmp")[0].rpartition(".")
        if beginning + dot in known:
            path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it into place: it is there whole or not at all.

    Raises:
        OSError: it cannot be written, with its name; also where the place is a folder, a device or a pipe.
    """
    _refuse_special(path)
    temporary = temporary_path(path)
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A write that fails, as on a full disk, does not say where.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
