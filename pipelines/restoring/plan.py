"""Which files are restored, and where each result goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.contract.errors import ConfigError, DataError
from data.images import SUFFIXES
from pipelines.restoring.pictures import REPLACED, WRITTEN

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Codec that is written for each ending of videos."""
VIDEOS = frozenset({*CODECS, ".webm", ".wmv", ".mpg", ".mpeg", ".3gp", ".ogv", ".ts", ".flv"})
"""Endings of videos that are read; those without a codec above become .mp4."""
KNOWN = SUFFIXES | VIDEOS
GLOB = frozenset("*?[")


@dataclass(frozen=True)
class Item:
    """One file to restore.

    Attributes:
        source: the file.
        target: where its result goes.
        name: relative to the folder that was given, for messages and the record of what is done.
    """

    source: Path
    target: Path
    name: str

    @property
    def video(self) -> bool:
        """Return whether it is a video, by its ending."""
        return self.source.suffix.lower() in VIDEOS


@dataclass(frozen=True)
class Plan:
    """All files to restore.

    Attributes:
        items: sorted by name.
        folder: folder of the results where a folder or glob was given; None for a single file.
    """

    items: tuple[Item, ...]
    folder: Path | None


def read_plan(given: str, out: Path) -> Plan:
    """Find the pictures and videos that ``given`` means, and name their results.

    Names below a folder (or below the fixed part of a glob) are kept. Files are known by their ending;
    hidden ones and those below ``out`` are left out.

    Args:
        given: a file, a folder (searched to the bottom), or a glob.
        out: file or folder for a file, folder otherwise.

    Raises:
        DataError: nothing is there.
        ConfigError: an input would be overwritten, or ``out`` is of the wrong kind.
    """
    path = Path(given).expanduser()
    if path.is_file():
        plan = _single(path, out)
    elif path.is_dir():
        plan = _many(path, "**/*", out)
    elif GLOB & set(given):
        root, pattern = _split(path)
        plan = _many(root, pattern, out)
    else:
        raise DataError("no such file or folder", where=given)
    if not plan.items:
        raise DataError("holds no pictures or videos", where=given)
    _protect(plan)
    return plan


def _single(path: Path, out: Path) -> Plan:
    if out.is_dir() or out.suffix.lower() not in KNOWN:
        return Plan((Item(path, out / _renamed(path.name), path.name),), None)
    endings = sorted(CODECS if path.suffix.lower() in VIDEOS else WRITTEN)
    if out.suffix.lower() not in endings:
        raise ConfigError(
            f"'{out.suffix}' is not written for '{path.suffix}'",
            where=str(out),
            hint=f"use one of {', '.join(endings)}",
        )
    return Plan((Item(path, out, path.name),), None)


def _many(root: Path, pattern: str, out: Path) -> Plan:
    if out.is_file() or (not out.exists() and out.suffix.lower() in KNOWN):
        raise ConfigError("has to be a folder, because several files go there", where=str(out))
    if root.is_dir() and out.resolve() == root.resolve():
        raise ConfigError("OUT is the folder of the inputs", where=str(out), hint="give another folder")
    try:
        names = sorted(_names(root, pattern, out.resolve()))
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"is no glob: {error}", where=pattern) from None
    targets: dict[str, str] = {}
    taken = set(names)
    for name in names:
        target = _renamed(name)
        # Two files may differ in nothing but an ending that is replaced.
        if target != name and target in taken:
            target = name + Path(target).suffix
        taken.add(target)
        targets[name] = target
    return Plan(tuple(Item(root / name, out / targets[name], name) for name in names), out)


def _names(root: Path, pattern: str, out: Path) -> Iterator[str]:
    for path in root.glob(pattern):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.suffix.lower() not in KNOWN:
            continue
        if path.is_file() and out not in path.resolve().parents:
            yield relative.as_posix()


def _split(path: Path) -> tuple[Path, str]:
    """Split a glob into the folder before its first wildcard, and the rest."""
    fixed = next(place for place, part in enumerate(path.parts) if GLOB & set(part))
    return Path(*path.parts[:fixed]), str(Path(*path.parts[fixed:]))


def _renamed(name: str) -> str:
    path = Path(name)
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return name if ending in CODECS else path.with_suffix(".mp4").as_posix()
    if ending in WRITTEN:
        return name
    return path.with_suffix(REPLACED[ending]).as_posix() if ending in REPLACED else f"{name}.png"


def _protect(plan: Plan) -> None:
    inputs = {item.source.resolve() for item in plan.items}
    for item in plan.items:
        if item.target.resolve() in inputs:
            raise ConfigError(
                "would be overwritten, and it is an input", where=str(item.target), hint="give another OUT"
            )
