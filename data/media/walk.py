"""What lies below a folder: the files that are wanted, and every other one by name with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.media.plugins import advice

EVERYTHING = "**/*"
"""The glob of all files, in the folder and below."""


@dataclass
class Walked:
    """The outcome of a search.

    Attributes:
        names: of the files that are wanted: relative POSIX paths, sorted.
        passed_over: files and folders that are not used, with reasons, sorted by name.
    """

    names: list[str] = field(default_factory=list)
    passed_over: list[Skipped] = field(default_factory=list)


def walk(folder: Path, endings: frozenset[str], pattern: str = EVERYTHING, out: Path | None = None) -> Walked:
    """Search a folder. Hidden files and folders are not used, and linked folders are not entered.

    Args:
        folder: where to search.
        endings: of the files that are wanted, in lower case.
        pattern: a glob; files that it does not match were not asked for and are not named.
        out: folder whose files are neither used nor named, because results go there.

    Raises:
        ValueError: the pattern is not a valid glob.
        NotImplementedError: the pattern is an absolute path.
    """
    walked = Walked()
    out = out.resolve() if out else None
    if "**" in pattern:
        found = _below(folder, out, walked.passed_over)
        if pattern != EVERYTHING:
            matching = {path.relative_to(folder).as_posix() for path in folder.glob(pattern)}
            found = (name for name in found if name in matching)
    else:
        matches = {path for path in folder.glob(pattern) if out is None or out not in path.resolve().parents}
        found = (path.relative_to(folder).as_posix() for path in matches if not path.is_dir())
    for name in found:
        if reason := _lack(folder, name, endings):
            walked.passed_over.append(Skipped(printable(name), reason))
        else:
            walked.names.append(name)
    walked.names.sort()
    walked.passed_over.sort(key=lambda skipped: skipped.id)
    return walked


def _below(folder: Path, out: Path | None, passed_over: list[Skipped]) -> Iterator[str]:
    """Yield the files of a folder and of all below it; note the folders that are not entered."""

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        passed_over.append(Skipped(printable(name), f"cannot be read: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=unreadable):
        inside = Path(place).relative_to(folder)
        entered = []
        for name in folders:
            path, told = Path(place, name), printable((inside / name).as_posix())
            if name.startswith("."):
                passed_over.append(Skipped(told, "is a hidden folder"))
            elif path.is_symlink():
                passed_over.append(Skipped(told, "is a link to a folder, which is not followed"))
            elif out is None or path.resolve() != out:
                entered.append(name)
        folders[:] = entered
        yield from ((inside / name).as_posix() for name in files)


def _lack(folder: Path, name: str, endings: frozenset[str]) -> str:
    """Return why a file is not used; empty where it is."""
    if reason := unwanted(name, endings):
        return reason
    if os.path.isfile(folder / name):
        return ""
    return "is a link to nothing" if (folder / name).is_symlink() else "is no file"


def unwanted(name: str, endings: frozenset[str]) -> str:
    """Return what in a relative path shows that a file is not wanted; empty where nothing does."""
    path = PurePath(name)
    if any(part.startswith(".") for part in path.parts):
        return "is hidden"
    if path.suffix.lower() not in endings:
        if not path.suffix:
            return "has no ending"
        needed = advice(path.suffix)
        return f"files that end in '{path.suffix}' are not read" + (
            f" ({needed} changes that)" if needed else ""
        )
    return ""
