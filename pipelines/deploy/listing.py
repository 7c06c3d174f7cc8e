"""Which files are put through a deployed network, and where their restored pictures go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from data.contract.errors import ConfigError, DataError
from pipelines.restoring.pictures import REPLACED, WRITTEN
from pipelines.restoring.plan import CODECS, GLOB, KNOWN, VIDEOS

LIST = "-"
"""Stands for a list of files on standard input."""


@dataclass(frozen=True)
class Item:
    """One file.

    Attributes:
        source: the file.
        name: what it is called in results: relative to the folder that was given, or as it was listed.
    """

    source: Path
    name: str

    @property
    def video(self) -> bool:
        """Return whether it is a video, by its ending."""
        return self.source.suffix.lower() in VIDEOS


def find(given: str, leave_out: Path | None) -> tuple[Item, ...]:
    """Return the pictures and videos that ``given`` means, in the order of their names, or of the list.

    Folders are searched to the bottom. Below folders and globs files are known by their ending, and hidden
    ones are left out; what is named by itself is taken whatever it is called. What a list names twice is
    taken once.

    Args:
        given: a file, a folder, a glob, or ``-`` for a list on standard input: one path a line, or divided
            by zero bytes.
        leave_out: folder whose files are no input.

    Raises:
        ConfigError: no glob.
        DataError: nothing is there.
    """
    path = Path(given).expanduser()
    if given == LIST:
        items = _listed(sys.stdin.buffer.read())
    elif path.is_file():
        items = (Item(path, path.name),)
    elif path.is_dir():
        items = _below(path, "**/*", leave_out)
    elif GLOB & set(given):
        fixed = next(place for place, part in enumerate(path.parts) if GLOB & set(part))
        items = _below(Path(*path.parts[:fixed]), str(PurePath(*path.parts[fixed:])), leave_out)
    else:
        raise DataError("no such file or folder", where=given)
    if not items:
        raise DataError("holds no pictures or videos", where=given)
    return items


def _listed(data: bytes) -> tuple[Item, ...]:
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    names = dict.fromkeys(os.fsdecode(line) for line in lines if line.strip())
    return tuple(Item(Path(name).expanduser(), name) for name in names)


def _below(root: Path, pattern: str, leave_out: Path | None) -> tuple[Item, ...]:
    try:
        names = sorted(_names(root, pattern, leave_out.resolve() if leave_out else None))
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"is no glob: {error}", where=pattern) from None
    return tuple(Item(root / name, name) for name in names)


def _names(root: Path, pattern: str, leave_out: Path | None) -> Iterator[str]:
    for path in root.glob(pattern):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.suffix.lower() not in KNOWN:
            continue
        if path.is_file() and (leave_out is None or leave_out not in path.resolve().parents):
            yield relative.as_posix()


def targets(items: Iterable[Item], folder: Path) -> dict[str, Path]:
    """Return where each item's restored picture goes: always below ``folder``, each somewhere else.

    Names keep their folders, but for ``..`` and the root. Endings that are not written become .png (.jpg
    where that suits); names that meet get a number.

    Raises:
        ConfigError: an input would be overwritten.
    """
    # First those that keep their names, so that no other takes one of them.
    wanted = {item.name: _inside(item) for item in items}
    taken: set[str] = set()
    found: dict[str, Path] = {}
    for name in sorted(wanted, key=lambda name: wanted[name] != name):
        target = PurePath(wanted[name])
        number = 1
        while target.as_posix() in taken:
            number += 1
            target = PurePath(wanted[name]).with_name(
                f"{PurePath(wanted[name]).stem}-{number}{target.suffix}"
            )
        taken.add(target.as_posix())
        found[name] = folder / target
    inputs = {item.source.resolve() for item in items}
    for path in found.values():
        if path.resolve() in inputs:
            raise ConfigError(
                "would be overwritten, and it is an input", where=str(path), hint="give another DIR"
            )
    return found


def _inside(item: Item) -> str:
    pure = PurePath(item.name)
    parts = [part for part in pure.relative_to(pure.anchor).parts if part not in ("..", "~")]
    path = PurePath(*parts) if parts else PurePath("picture")
    ending = path.suffix.lower()
    if item.video:
        return path.as_posix() if ending in CODECS else path.with_suffix(".mp4").as_posix()
    if ending in WRITTEN:
        return path.as_posix()
    return path.with_suffix(REPLACED[ending]).as_posix() if ending in REPLACED else f"{path.as_posix()}.png"
