"""Images with boxes, as COCO describes them: a folder or a tar file, and one file of annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source
from clearsight.data.sources.coco_annotations import read_annotations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Coco(Source):
    """Photographs with true boxes: ``annotations.json`` in COCO's format names images, classes and boxes.

    Ids are the images' ``file_name``. Classes are the ``categories`` in the order of their ids, counted from
    0; ``label_map`` gives them the indices of a detector. Images without a box are used as well. Boxes are
    clipped to their image; those that cannot be used are left out, and the run's summary counts them.
    """

    kind: Literal["coco"] = "coco"
    purpose: ClassVar[str] = "images with boxes (COCO annotations) in a folder or a tar file"

    path: Annotated[str, Field(min_length=1)]
    """A folder, searched to the bottom, or an uncompressed tar file."""
    annotations: Annotated[str, Field(min_length=1)] = "annotations.json"
    """The file of annotations: inside the folder or the tar file, beside it, or anywhere else."""

    def scan(self) -> Index:
        """List the images that the annotations name, in their order.

        Raises:
            DataError: there are no annotations or no images, or the annotations cannot be understood.
        """
        from clearsight.data.media.files import none_found

        content, places, passed_over = self._listed()
        found = read_annotations(content, where=self.annotations)
        entries = []
        missing = []
        for image in found.images:
            name = printable(image.file_name)
            place = places.pop(image.file_name, None)
            if place is None:
                missing.append(Skipped(name, f"is named by {self.annotations}, but is not there"))
            else:
                entries.append(Entry(name, None, name, place, image.boxes))
        unnamed = [Skipped(printable(name), f"is not named by {self.annotations}") for name in sorted(places)]
        passed_over = [*found.left_out, *missing, *unnamed, *passed_over]
        if not entries:
            raise none_found(f"image that {self.annotations} names", self.path, passed_over)
        return Index(tuple(entries), found.classes, tuple(passed_over))

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image."""
        from clearsight.data.media.images import decode

        path = locate(self.path)
        return (
            decode(path / str(entry.place)) if path.is_dir() else decode(self.content(entry), name=entry.name)
        )

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one image."""
        from clearsight.data.media.files import content
        from clearsight.data.media.tar_members import member_bytes

        path = locate(self.path)
        if path.is_dir():
            return content(path / str(entry.place))
        return member_bytes(path, str(entry.place))

    def _listed(self) -> tuple[bytes, dict[str, str], list[Skipped]]:
        """Return the annotations, name -> place of every image that is there, and what is passed over."""
        path = locate(self.path)
        return self._folder(path) if path.is_dir() else self._tar(path)

    def _folder(self, path: Path) -> tuple[bytes, dict[str, str], list[Skipped]]:
        from clearsight.data.media.files import content, images

        inside = path / self.annotations
        told = content(inside) if inside.is_file() else self._beside(path)
        walked = images(path)
        passed_over = [it for it in walked.passed_over if it.id != self.annotations]
        return told, {name: name for name in walked.names}, passed_over

    def _tar(self, path: Path) -> tuple[bytes, dict[str, str], list[Skipped]]:
        from clearsight.data.media.images import suffixes
        from clearsight.data.media.tar_members import member_bytes, members
        from clearsight.data.media.walk import unwanted

        told: bytes | None = None
        places: dict[str, str] = {}
        passed_over = []
        for member in members(path):
            if member.name == self.annotations and not member.lack:
                told = member_bytes(path, member.place)
            elif reason := member.lack or unwanted(member.name, suffixes()):
                passed_over.append(Skipped(printable(member.name) or self.path, reason))
            else:
                places[member.name] = member.place
        return self._beside(path) if told is None else told, places, passed_over

    def _beside(self, path: Path) -> bytes:
        """Return the annotations that do not lie inside."""
        from clearsight.data.media.files import content

        beside = path.parent / self.annotations
        if beside.is_file():
            return content(beside)
        try:
            return content(locate(self.annotations))
        except DataError as error:
            raise DataError(
                f"has no annotations '{self.annotations}', inside or beside it ({error.what})",
                where=self.path,
                hint="say where they are: annotations: FILE",
            ) from None
