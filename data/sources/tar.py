"""Images inside an uncompressed tar file, read in place."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, first_line
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    from tarfile import TarInfo

    import numpy as np
    from numpy.typing import NDArray


class Tar(Source):
    """Unlabelled images in a tar file. Ids are the names inside it."""

    kind: Literal["tar"] = "tar"
    purpose: ClassVar[str] = "unlabelled images inside a tar file, without unpacking it"

    path: Annotated[str, Field(min_length=1)]
    """The tar file."""
    pattern: str = "*"
    """Only images whose name inside the file matches, such as ``low/*``; ``*`` also matches slashes."""

    def scan(self) -> Index:
        """List the images, sorted by name.

        Raises:
            DataError: the file is no tar file, is compressed, or holds no image that matches.
        """
        from clearsight.data.media.files import none_found
        from clearsight.data.media.images import suffixes
        from clearsight.data.media.walk import unwanted

        path = locate(self.path)
        found: list[Entry] = []
        passed_over: list[Skipped] = []
        facts, wanted = path.stat(), suffixes()
        for member in _members(str(path), facts.st_mtime_ns, facts.st_size):
            if member.name and not fnmatchcase(member.name, self.pattern):
                continue
            name = printable(member.name)
            if reason := member.lack or unwanted(member.name, wanted):
                passed_over.append(Skipped(name or self.path, reason))
            else:
                found.append(Entry(name, None, name, f"{member.start}+{member.size}"))
        if not found:
            raise none_found(f"images that match '{self.pattern}'", self.path, passed_over)
        return Index(tuple(sorted(found, key=lambda entry: entry.id)), (), tuple(passed_over))

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one member."""
        from clearsight.data.media.images import decode

        return decode(self.content(entry), name=entry.name)

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one member."""
        offset, size = map(int, str(entry.place).split("+"))
        try:
            with locate(self.path).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", where=self.path) from None


@dataclass(frozen=True)
class _Member:
    """What the tar file says of one file inside; ``lack``: why it cannot be used."""

    name: str
    start: int
    size: int
    lack: str


@lru_cache(maxsize=16)
def _members(path: str, _time: int, length: int) -> tuple[_Member, ...]:
    """List the files inside, up to the first that is truncated: nothing can be found behind it.

    Of several with one name the last counts, as when the archive is unpacked.
    """
    import tarfile

    members: dict[str, _Member] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            # Not getmembers(): it gives nothing where the last file is cut off, and a negative size leads it
            # in circles.
            while (member := archive.next()) is not None:
                whole = member.size >= 0 and member.offset_data + member.size <= length
                if not member.isdir():
                    name = member.name.removeprefix("./")
                    members[name] = _Member(name, member.offset_data, member.size, _lack(member, whole))
                if not whole:
                    break
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, RecursionError) as error:
        if not members:
            raise DataError(
                f"is not an uncompressed tar file: {first_line(error)}",
                where=path,
                hint="decompress it first (gunzip)",
            ) from None
        members[""] = _Member("", 0, 0, f"the rest of the file is damaged: {first_line(error)}")
    return tuple(members.values())


def _lack(member: TarInfo, whole: bool) -> str:
    if not whole:
        return f"is cut off, or its size of {member.size} bytes is wrong; what is behind it cannot be found"
    if member.issym() or member.islnk():
        return "is a link"
    if not member.isfile():
        return "is no file"
    return "is stored sparsely" if member.issparse() else ""
