"""Which files are put through a deployed network, and where their restored images go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.media.listing import found, is_video, protect, written

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
        return is_video(self.source)


def find(source: str, leave_out: Path | None) -> tuple[tuple[Item, ...], tuple[Skipped, ...]]:
    """Return images and videos that ``source`` means, ordered by name or as listed, and files passed over.

    Folders are searched recursively. Below folders and globs, files are recognised by their ending, and
    hidden ones are not used; a file named by itself is used whatever its ending. Duplicates in a list are
    used once.

    Args:
        source: a file, a folder, a glob, or ``-`` for a list on standard input: one path a line, or separated
            by zero bytes.
        leave_out: folder whose files are not inputs.

    Raises:
        ConfigError: not a valid glob.
        DataError: nothing is there.
    """
    if source != LIST:
        files = found(source, leave_out)
        return tuple(Item(files.root / name, name) for name in files.names), files.passed_over
    if not (items := _listed(sys.stdin.buffer.read())):
        raise DataError("holds no images or videos", where=source)
    return items, ()


def _listed(data: bytes) -> tuple[Item, ...]:
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    names = dict.fromkeys(os.fsdecode(line) for line in lines if line.strip())
    return tuple(Item(Path(os.path.expanduser(name)), name) for name in names)


def targets(items: Iterable[Item], folder: Path) -> dict[str, Path]:
    """Return where each item's restored image goes: below ``folder``, all at different paths.

    Names keep their folders, except ``..`` and the root. Endings that cannot be written become .png (.jpg
    where that suits); names that collide get a number.

    Raises:
        ConfigError: an input would be overwritten.
    """
    # Items that keep their names come first, so that no other takes their place.
    wanted = {item.name: _inside(item) for item in items}
    taken: set[str] = set()
    placed: dict[str, Path] = {}
    for name in sorted(wanted, key=lambda name: wanted[name] != name):
        target = PurePath(wanted[name])
        number = 1
        while target.as_posix() in taken:
            number += 1
            target = PurePath(wanted[name]).with_name(
                f"{PurePath(wanted[name]).stem}-{number}{target.suffix}"
            )
        taken.add(target.as_posix())
        placed[name] = folder / target
    protect((item.source for item in items), placed.values(), "give another DIR")
    return placed


def _inside(item: Item) -> str:
    pure = PurePath(item.name)
    parts = [part for part in pure.relative_to(pure.anchor).parts if part not in ("..", "~")]
    return written(PurePath(*parts).as_posix() if parts else "image")
