"""`Source`: where labelled or unlabelled images come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, final

from pydantic import Field, model_validator

from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import Number, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Entry:
    """One image before it is decoded.

    Attributes:
        id: stable name, unique in the source (``tinyimagenet20_train/00042``).
        label: class index or None.
        name: what the data set itself calls the image (a path); groups are read off it.
        place: where the source finds it again (row, file), private to the source.
    """

    id: str
    label: int | None
    name: str
    place: int | str


@dataclass(frozen=True)
class Index:
    """All images of a source, in stored order, without decoding any."""

    entries: tuple[Entry, ...]
    classes: tuple[str, ...]


class HoldOut(Spec):
    """Rule that splits a held-out part off a source, the same on every machine. Give exactly one amount."""

    per_class: Annotated[int, Field(ge=1)] | None = None
    """The last so many images of each class, in stored order."""
    fraction: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """This share of each class, drawn by a hash of the id (or of the group)."""
    group: str | None = None
    """Regular expression whose first group, found in an image's own name, names its group (a track, a
    patient): groups are never torn apart. Goes with ``fraction``."""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.per_class is None) == (self.fraction is None):
            raise ValueError("give either 'per_class' or 'fraction'")
        if self.group is not None and self.fraction is None:
            raise ValueError("'group' goes with 'fraction'")
        return self


class Source(Spec):
    """Base of all sources. A subclass adds ``kind``, its own fields and the hooks ``scan`` and ``load``."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    hold_out: HoldOut | None = None
    """Split a part off, for validation or testing."""
    subset: Literal["all", "train", "held_out"] = "all"
    """Which side of ``hold_out`` to use."""
    take: Annotated[int, Field(ge=1)] | None = None
    """Use only so many images: evenly over the classes, drawn by a hash of the id, in stored order."""
    size: Annotated[int, Field(ge=1)] | None = None
    """Resize the short side and cut the centre square of this many pixels."""
    crop: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of the short side that the centre square covers (0.875 is usual for ImageNet)."""
    label_map: dict[str, int] | None = None
    """Class name -> index that the classifier uses for it; classes that are not named are left out."""

    @model_validator(mode="after")
    def _subset_of_a_split(self) -> Self:
        if self.subset != "all" and self.hold_out is None:
            raise ValueError(f"subset '{self.subset}' goes with 'hold_out'")
        return self

    def scan(self) -> Index:
        """Hook: list the images without decoding them."""
        raise NotImplementedError

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Hook: return one image as uint8 (h, w, 3); raise `DataError` where it cannot be used."""
        raise NotImplementedError

    @final
    def index(self) -> Index:
        """Return the images that are left after ``hold_out``, ``subset``, ``label_map`` and ``take``."""
        from clearsight.data.sources.selection import select

        return select(self, self.scan())

    @final
    def read(self, entries: Sequence[Entry]) -> list[Sample | Skipped]:
        """Decode (and resize) images; one that cannot be used becomes a `Skipped` with the reason."""
        from clearsight.data.sources.selection import read

        return read(self, entries)

    def fingerprint(self, entries: Sequence[Entry]) -> str:
        """Return a key of what the images hold (not of where they lie): it goes into the cells' keys."""
        from clearsight.data.sources.selection import fingerprint

        return fingerprint(self, entries)

    def content(self, entry: Entry) -> bytes:
        """Hook for `fingerprint`: bytes that change when the image changes (its encoded file)."""
        raise NotImplementedError
