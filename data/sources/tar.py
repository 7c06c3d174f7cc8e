"""Images inside an uncompressed tar file, read in place."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.home import is_address, locate, locate_once
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tar(Source):
    """Unlabelled images in a tar file. Ids are the names inside it."""

    kind: Literal["tar"] = "tar"
    purpose: ClassVar[str] = "unlabelled images inside a tar file, without unpacking it"

    path: Annotated[str, Field(min_length=1)]
    """The tar file, or its address (``https://...``), which is fetched whole."""
    pattern: str = "*"
    """Only images whose name inside the file matches, such as ``low/*``; ``*`` also matches slashes."""

    @property
    def everywhere(self) -> bool:
        """Return whether the path is an address."""
        return is_address(self.path)

    def scan(self) -> Index:
        """List the images, sorted by name.

        Raises:
            DataError: the file is no tar file, is compressed, or holds no image that matches.
        """
        from clearsight.data.media.files import none_found
        from clearsight.data.media.images import suffixes
        from clearsight.data.media.tar_members import members
        from clearsight.data.media.walk import unwanted

        found: list[Entry] = []
        passed_over: list[Skipped] = []
        wanted = suffixes()
        for member in members(locate(self.path)):
            if member.name and not fnmatchcase(member.name, self.pattern):
                continue
            name = printable(member.name)
            if reason := member.lack or unwanted(member.name, wanted):
                passed_over.append(Skipped(name or self.path, reason))
            else:
                found.append(Entry(name, None, name, member.place))
        if not found:
            raise none_found(f"images that match '{self.pattern}'", self.path, passed_over)
        return Index(tuple(sorted(found, key=lambda entry: entry.id)), (), tuple(passed_over))

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one member."""
        from clearsight.data.media.images import decode

        return decode(self.content(entry), name=entry.name)

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one member."""
        from clearsight.data.media.tar_members import member_bytes

        return member_bytes(locate_once(self.path), str(entry.place))
