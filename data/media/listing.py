"""Which files a file, a folder or a glob means, and what their results are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.media.images import SUFFIXES
from clearsight.data.media.lossless import REPLACED, WRITTEN

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Codec that is written for each ending of videos."""
VIDEOS = frozenset(
    {*CODECS, ".webm", ".wmv", ".mpg", ".mpeg", ".3gp", ".ogv", ".ts", ".mts", ".m2ts", ".flv"}
)
"""Endings of videos that are read; those without a codec above become .mp4."""
KNOWN = SUFFIXES | VIDEOS
GLOB = frozenset("*?[")


def is_video(path: PurePath) -> bool:
    """Return whether a file is a video, by its ending."""
    return path.suffix.lower() in VIDEOS


def split(given: str) -> tuple[Path, str]:
    """Return the folder that is searched for ``given``, a folder or a glob, and what is searched in it.

    Raises:
        DataError: neither is there.
    """
    path = Path(given).expanduser()
    if path.is_dir():
        return path, "**/*"
    if not GLOB & set(given):
        raise DataError("no such file or folder", where=given)
    fixed = next(place for place, part in enumerate(path.parts) if GLOB & set(part))
    return Path(*path.parts[:fixed]), str(PurePath(*path.parts[fixed:]))


def found(given: str, leave_out: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder, and the images and videos below it that ``given`` means, sorted.

    Folders are searched to the bottom. Below folders and globs files are known by their ending, and hidden
    ones are left out; what is named by itself is taken whatever it is called.

    Args:
        given: a file, a folder, or a glob.
        leave_out: folder whose files are no input.

    Raises:
        ConfigError: no glob.
        DataError: nothing is there.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return path.parent, (path.name,)
    root, pattern = split(given)
    try:
        names = tuple(sorted(_names(root, pattern, leave_out.resolve() if leave_out else None)))
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(f"is not a valid glob: {error}", where=pattern) from None
    if not names:
        raise DataError("holds no images or videos", where=given)
    return root, names


def _names(root: Path, pattern: str, leave_out: Path | None) -> Iterator[str]:
    for path in root.glob(pattern):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.suffix.lower() not in KNOWN:
            continue
        if path.is_file() and (leave_out is None or leave_out not in path.resolve().parents):
            yield relative.as_posix()


def written(name: str) -> str:
    """Return the name of a result: endings that are not written become .png (MPO: .jpg), or .mp4."""
    path = PurePath(name)
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return name if ending in CODECS else path.with_suffix(".mp4").as_posix()
    if ending in WRITTEN:
        return name
    return path.with_suffix(REPLACED[ending]).as_posix() if ending in REPLACED else f"{name}.png"


def protect(sources: Iterable[Path], targets: Iterable[Path], hint: str) -> None:
    """Refuse results that would overwrite inputs.

    Raises:
        ConfigError: the first such result.
    """
    inputs = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in inputs:
            raise ConfigError("would be overwritten, and it is an input", where=str(target), hint=hint)
