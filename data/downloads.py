"""Published data sets, fetched only when somebody asks for them by name, checked before they are unpacked.

Nothing in the package downloads behind the user's back: `get` is the only way onto the network, and it runs
only when it is called.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from clearsight.data.contract.errors import DataError, near_miss
from clearsight.data.home import home
from clearsight.data.weights import digest

CHUNK = 1 << 18
"""Bytes read at a time: 256 KiB."""
TIMEOUT = 60.0
"""Seconds without an answer after which a download gives up."""
BytesDone = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total (None where the server does not say)."""


@dataclass(frozen=True)
class Download:
    """One archive.

    Attributes:
        base_url: address of the folder that holds the archive.
        file: file name of the archive.
        sha256: checksum of the archive.
        folder: folder that the archive unpacks to.
    """

    base_url: str
    file: str
    sha256: str
    folder: str


DOWNLOADS = {
    "cifar10": Download(
        "https://www.cs.toronto.edu/~kriz",
        "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "cifar-10-batches-py",
    ),
    "cifar100": Download(
        "https://www.cs.toronto.edu/~kriz",
        "cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        "cifar-100-python",
    ),
}
"""The sets that `get` knows. They are the python versions, because their sha256 is published widely."""


def get(name: str, *, on_progress: BytesDone | None = None, base_url: str | None = None) -> Path:
    """Return the folder of a published set, fetching it first if it is not there yet.

    An interrupted download goes on where it stopped. The archive is removed once it is unpacked.

    Args:
        name: a key of `DOWNLOADS`; it is also the default ``path`` of the source of that name.
        on_progress: called after every chunk.
        base_url: fetch from this folder instead (a mirror); the checksum stays the same.

    Returns:
        ``$CLEARSIGHT_HOME/data/<name>``.

    Raises:
        DataError: unknown name, no connection, or an archive with another checksum (it is removed, so that
            the next call starts afresh) or with unsafe members.
    """
    if name not in DOWNLOADS:
        raise DataError(f"no download '{name}'", hint=near_miss(name, DOWNLOADS))
    wanted = DOWNLOADS[name]
    target = home() / "data" / name
    if _finished(target / wanted.folder):
        return target
    target.mkdir(parents=True, exist_ok=True)
    url = f"{(base_url or wanted.base_url).rstrip('/')}/{wanted.file}"
    with _alone(target):
        # Another call may have downloaded it meanwhile.
        if not _finished(target / wanted.folder):
            _bring(url, target, wanted, on_progress)
    return target


def _finished(folder: Path) -> bool:
    """Return whether a set is there: an empty folder is none."""
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other calls out of a folder: two that write into one file would spoil it.

    Raises:
        DataError: another process is at work there.
    """
    with target.with_name(f".{target.name}.lock").open("a") as file:
        try:
            _lock(file.fileno())
        except OSError:
            raise DataError(
                "another process downloads this set", where=str(target), hint="wait until it is done"
            ) from None
        yield


def _lock(number: int) -> None:
    """Lock an open file until it is closed, or raise `OSError` where another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _bring(url: str, target: Path, wanted: Download, on_progress: BytesDone | None) -> None:
    part = target / f"{wanted.file}.part"
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise DataError(
            "is no plain file, but stands where a download goes", where=str(part), hint="delete it"
        )
    if not (part.is_file() and digest(part) == wanted.sha256):
        found = _fetch(url, part, on_progress)
        if found != wanted.sha256:
            part.unlink()
            raise DataError(
                f"sha256 is {found}, not {wanted.sha256}; the file was removed",
                where=url,
                hint="try again: it was damaged on the way, or somebody replaced it",
            )
    _unpack(part, target, wanted.folder)
    part.unlink()


def _fetch(url: str, part: Path, on_progress: BytesDone | None) -> str:
    """Bring ``part`` to full length, keeping what is there if the server can go on; return its sha256."""
    if not url.startswith(("https://", "http://")):
        raise DataError("is no http address", where=url)
    done = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "clearsight", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as answer:
            if done and not _goes_on(answer.status, answer.headers.get("Content-Range"), done):
                done = 0  # the server sends the whole file again
            length = answer.headers.get("Content-Length", "")
            total = done + int(length) if length.isdigit() else None
            _receive(answer, part, done, total, on_progress)
    except HTTPError as error:
        if error.code == 416:  # nothing lies behind what is there: the checksum decides
            return digest(part)
        raise DataError(f"the server answers {error.code} {error.reason}", where=url) from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"the download stopped: {reason}", where=url, hint="call it again: it goes on where it stopped"
        ) from None
    return digest(part)


def _goes_on(status: int, content_range: str | None, done: int) -> bool:
    return status == 206 and (content_range or "").startswith(f"bytes {done}-")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _receive(
    answer: _Readable, part: Path, done: int, total: int | None, on_progress: BytesDone | None
) -> None:
    with part.open("ab" if done else "wb") as file:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, total)
    if total is not None and done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _unpack(archive: Path, target: Path, folder: str) -> None:
    """Unpack aside, then move the folder into place: it is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=target, prefix=".unpacking-") as temporary:
        try:
            with tarfile.open(archive, "r:*") as tar:
                for member in tar:
                    _check_member(member)
                    tar.extract(member, temporary, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"cannot be unpacked: {error}", where=str(archive)) from None
        inside = Path(temporary) / folder
        if not inside.is_dir():
            raise DataError(f"holds no folder {folder}", where=str(archive))
        if (target / folder).is_dir():
            # An empty one: into it, the new one would be moved.
            (target / folder).rmdir()
        shutil.move(inside, target / folder)


def _check_member(member: tarfile.TarInfo) -> None:
    """Refuse everything but plain files and folders below the target (the filter would fix some of it)."""
    parts = Path(member.name).parts
    if not (member.isfile() or member.isdir()) or ".." in parts or member.name.startswith(("/", "\\")):
        raise tarfile.TarError(f"unsafe member '{member.name}'")
