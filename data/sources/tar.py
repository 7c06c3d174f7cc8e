"""Images inside an uncompressed tar file, read in place."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
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
        from clearsight.data.media.images import SUFFIXES

        path = locate(self.path)
        found = []
        for name, offset, size in _members(str(path), path.stat().st_mtime_ns):
            hidden = any(part.startswith(".") for part in name.split("/"))
            if not hidden and name.lower().endswith(tuple(SUFFIXES)) and fnmatchcase(name, self.pattern):
                found.append(Entry(name, None, name, f"{offset}+{size}"))
        if not found:
            raise DataError(
                f"holds no images that match '{self.pattern}'", where=self.path, hint="check the pattern"
            )
        return Index(tuple(sorted(found, key=lambda entry: entry.id)), ())

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


@lru_cache(maxsize=16)
def _members(path: str, changed: int) -> tuple[tuple[str, int, int], ...]:
    """Return (name, place, size) of the files inside; ``changed`` renews what is remembered."""
    import tarfile

    try:
        with tarfile.open(path, "r:") as archive:
            members = [each for each in archive.getmembers() if each.isfile()]
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"is not an uncompressed tar file: {error}", where=path, hint="decompress it first (gunzip)"
        ) from None
    return tuple((each.name.removeprefix("./"), each.offset_data, each.size) for each in members)
