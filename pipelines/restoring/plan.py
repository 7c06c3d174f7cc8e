"""Which files are restored, and where each result goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.sample import Skipped
from clearsight.data.home import expanded
from clearsight.data.media.listing import CODECS, found, is_video, known, protect, split, written
from clearsight.data.media.lossless import WRITTEN


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
        return is_video(self.source)


@dataclass(frozen=True)
class Plan:
    """All files to restore.

    Attributes:
        items: sorted by name.
        folder: folder of the results where a folder or glob was given; None for a single file.
        passed_over: files beside them that are not restored, with reasons.
    """

    items: tuple[Item, ...]
    folder: Path | None
    passed_over: tuple[Skipped, ...] = ()


def read_plan(source: str, out: Path) -> Plan:
    """Find the images and videos that ``source`` means, and name their results.

    Names below a folder (or below the fixed part of a glob) are kept. Files are recognised by their ending;
    hidden and other files are passed over, and those below ``out`` are left out.

    Args:
        source: a file, a folder (searched to the bottom), or a glob.
        out: file or folder for a file, folder otherwise.

    Raises:
        DataError: nothing is there.
        ConfigError: an input would be overwritten, or ``out`` is of the wrong kind.
    """
    path = expanded(source)
    plan = _single(path, out) if path.is_file() else _many(source, out)
    protect((item.source for item in plan.items), (item.target for item in plan.items), "give another OUT")
    return plan


def _single(path: Path, out: Path) -> Plan:
    if out.is_dir() or out.suffix.lower() not in known():
        return Plan((Item(path, out / written(path.name), path.name),), None)
    endings = sorted(CODECS if is_video(path) else WRITTEN)
    if out.suffix.lower() not in endings:
        raise ConfigError(
            f"'{out.suffix}' is not written for '{path.suffix}'",
            where=str(out),
            hint=f"use one of {', '.join(endings)}",
        )
    return Plan((Item(path, out, path.name),), None)


def _many(source: str, out: Path) -> Plan:
    if out.is_file() or (not out.exists() and out.suffix.lower() in known()):
        raise ConfigError("has to be a folder, because several files go there", where=str(out))
    folder, _ = split(source)
    if folder.is_dir() and out.resolve() == folder.resolve():
        raise ConfigError("OUT is the folder of the inputs", where=str(out), hint="give another folder")
    files = found(source, out)
    targets: dict[str, str] = {}
    taken = set(files.names)
    for name in files.names:
        target = written(name)
        # Two files may differ only in an ending that is replaced.
        if target != name and target in taken:
            target = name + Path(target).suffix
        taken.add(target)
        targets[name] = target
    items = (Item(files.root / name, out / targets[name], name) for name in files.names)
    return Plan(tuple(items), out, files.passed_over)
