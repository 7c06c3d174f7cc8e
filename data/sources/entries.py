"""What a source lists before it decodes anything: `Entry` for one image, `Index` for all."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.boxes import Boxes
from clearsight.data.contract.sample import Skipped


@dataclass(frozen=True)
class Entry:
    """One image before it is decoded.

    Attributes:
        id: stable name, unique in the source (``tinyimagenet20_train/00042``).
        truth: class index or None.
        name: what the data set itself calls the image (a path); groups are read off it.
        place: where the source finds it again (row, file), private to the source.
        boxes: its true objects before any resizing; None in sources without boxes.
    """

    id: str
    truth: int | None
    name: str
    place: int | str
    boxes: Boxes | None = None


@dataclass(frozen=True)
class Index:
    """All images of a source, in stored order, without decoding any.

    Attributes:
        entries: the images.
        classes: name of each class, by label; empty where there are no labels.
        passed_over: files beside them that are not used, with reasons.
    """

    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    passed_over: tuple[Skipped, ...] = ()
