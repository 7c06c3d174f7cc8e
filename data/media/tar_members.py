"""The files inside an uncompressed tar file, read in place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import DataError, first_line

if TYPE_CHECKING:
    from tarfile import TarInfo


@dataclass(frozen=True)
class Member:
    """What a tar file says of one file inside.

    Attributes:
        name: inside the tar file; empty for a stretch that is damaged.
        place: where its bytes are, for `member_bytes`.
        lack: why it cannot be used; empty where it can.
    """

    name: str
    place: str
    lack: str


def members(path: Path) -> tuple[Member, ...]:
    """List the files inside, up to the first that is truncated: nothing can be found behind it.

    Of several with one name the last counts, as when the archive is unpacked.

    Raises:
        DataError: it is no tar file, or a compressed one.
    """
    facts = path.stat()
    return _members(str(path), facts.st_mtime_ns, facts.st_size)


def member_bytes(path: Path, place: str) -> bytes:
    """Return the content of one file inside.

    Raises:
        DataError: the tar file cannot be read.
    """
    offset, size = map(int, place.split("+"))
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


@lru_cache(maxsize=16)
def _members(path: str, _time: int, length: int) -> tuple[Member, ...]:
    import tarfile

    found: dict[str, Member] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            # Not getmembers(): it gives nothing where the last file is cut off, and a negative size leads it
            # in circles.
            while (member := archive.next()) is not None:
                whole = member.size >= 0 and member.offset_data + member.size <= length
                if not member.isdir():
                    name = member.name.removeprefix("./")
                    found[name] = Member(name, f"{member.offset_data}+{member.size}", _lack(member, whole))
                if not whole:
                    break
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, RecursionError) as error:
        if not found:
            raise DataError(
                f"is not an uncompressed tar file: {first_line(error)}",
                where=path,
                hint="decompress it first (gunzip)",
            ) from None
        found[""] = Member("", "0+0", f"the rest of the file is damaged: {first_line(error)}")
    return tuple(found.values())


def _lack(member: TarInfo, whole: bool) -> str:
    if not whole:
        return f"is cut off, or its size of {member.size} bytes is wrong; what is behind it cannot be found"
    if member.issym() or member.islnk():
        return "is a link"
    if not member.isfile():
        return "is no file"
    return "is stored sparsely" if member.issparse() else ""
