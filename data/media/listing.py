"""Which files a file, a folder or a glob means, and what their results are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.home import expanded
from clearsight.data.media.files import none_found
from clearsight.data.media.images import suffixes
from clearsight.data.media.lossless import REPLACED, WRITTEN
from clearsight.data.media.walk import EVERYTHING, walk

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Codec that is written for each ending of videos."""
VIDEOS = frozenset(
    {*CODECS, ".webm", ".wmv", ".mpg", ".mpeg", ".3gp", ".ogv", ".ts", ".mts", ".m2ts", ".flv"}
)
"""Endings of videos that are read; those without a codec above become .mp4."""
GLOB = frozenset("*?[")


def known() -> frozenset[str]:
    """Return the endings of images and videos that are read."""
    return suffixes() | VIDEOS


def is_video(path: PurePath) -> bool:
    """Return whether a file is a video, by its ending."""
    return path.suffix.lower() in VIDEOS


def split(source: str) -> tuple[Path, str]:
    """Return the folder to search for ``source`` (a folder or a glob), and the glob to search it with.

    Raises:
        DataError: it is neither a folder nor a glob.
    """
    path = expanded(source)
    if path.is_dir():
        return path, EVERYTHING
    if not GLOB & set(source):
        raise DataError("no such file or folder", where=source)
    fixed = next(place for place, part in enumerate(path.parts) if GLOB & set(part))
    return Path(*path.parts[:fixed]), str(PurePath(*path.parts[fixed:]))


@dataclass(frozen=True)
class Found:
    """Images and videos.

    Attributes:
        root: the folder that they lie below.
        names: relative to ``root``, sorted.
        passed_over: files beside them that are not used, with reasons.
    """

    root: Path
    names: tuple[str, ...]
    passed_over: tuple[Skipped, ...] = ()


def found(source: str, leave_out: Path | None) -> Found:
    """Return the images and videos that ``source`` means.

    Folders are searched to the bottom. Below folders and globs files are known by their ending, and hidden
    ones are passed over; what is named by itself is taken whatever it is called.

    Args:
        source: a file, a folder, or a glob.
        leave_out: folder whose files are no input.

    Raises:
        ConfigError: an invalid glob.
        DataError: nothing is there.
    """
    path = expanded(source)
    if path.is_file():
        return Found(path.parent, (path.name,))
    root, pattern = split(source)
    try:
        walked = walk(root, known(), pattern, leave_out)
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"is not a valid glob: {error}", where=pattern) from None
    if not walked.names:
        raise none_found("images or videos", source, walked.passed_over)
    return Found(root, tuple(walked.names), tuple(walked.passed_over))


def written(name: str) -> str:
    """Return the name of a result: endings that are not written become .png (MPO: .jpg), or .mp4."""
    path = PurePath(name)
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return name if ending in CODECS else path.with_suffix(".mp4").as_posix()
    if ending in WRITTEN:
        return name
    return path.with_suffix(REPLACED[ending]).as_posix() if ending in REPLACED else f"{name}.png"


def _places(path: Path) -> Iterator[Path | tuple[int, int]]:
    """Yield what identifies a file: its path without links and, where it exists, its device and inode."""
    yield path.resolve()
    with suppress(OSError):
        facts = path.stat()
        yield facts.st_dev, facts.st_ino


def protect(sources: Iterable[Path], targets: Iterable[Path], hint: str) -> None:
    """Refuse results that would overwrite inputs.

    Raises:
        ConfigError: the first such result.
    """
    inputs = {place for source in sources for place in _places(source)}
    for target in targets:
        if inputs.intersection(_places(target)):
            raise ConfigError("would be overwritten, and it is an input", where=str(target), hint=hint)
