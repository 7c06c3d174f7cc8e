"""What every source shares: which images are used, and how they are resized.

All choices are functions of the images' ids and labels, so that they are the same on every machine and do
not depend on where the files lie.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError, DataError, near_miss
from clearsight.data.contract.patterns import LONGEST_NAME, compiled
from clearsight.data.contract.spec import Number, Spec, kind_of
from clearsight.data.media.files import none_found
from clearsight.data.media.placement import placement
from clearsight.data.sources.entries import Entry, Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.boxes import Boxes

MOST_CLASSES = 1_000_000
"""A larger label is a mistake, and would need a class name for every number below it."""
TOKEN = re.compile(r"^(n\d{8})(?:\D|$)|^([^\s,]+)[\s,]")
"""Leading token of a class name: an ImageNet synset, or what stands before the first space or comma."""


class HoldOut(Spec):
    """Rule that splits a held-out part off a source, the same on every machine. Give exactly one amount."""

    per_class: Annotated[int, Field(ge=1)] | None = None
    """The last so many images of each class, in stored order."""
    fraction: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """This share of each class, drawn by a hash of the id (or of the group)."""
    group: str | None = None
    """Regular expression whose first group, found in an image's own name, names its group (a track, a
    patient): groups are never split. Goes with ``fraction``."""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.per_class is None) == (self.fraction is None):
            raise ValueError("give either 'per_class' or 'fraction'")
        if self.group is not None and self.fraction is None:
            raise ValueError("'group' goes with 'fraction'")
        return self


class Selection(Spec):
    """Which images of a source are used, and at which size."""

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
    """Class name -> index that the classifier uses for it; classes that are not named are left out: their
    images, or of sources with boxes the boxes alone."""

    order: Literal["stored", "shuffled", "by_class"] = "stored"
    """In which order images come: as the source stores them, by a hash of their ids, or class by class. It
    affects results only where a part depends on the batch."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the images; ``order: stored`` is left out, so that older keys stay valid."""
        fields = super().identity()
        return {name: value for name, value in fields.items() if name != "order" or value != "stored"}

    @property
    def mapped(self) -> bool:
        """Return whether a ``label_map`` says what the labels mean."""
        return self.label_map is not None

    @model_validator(mode="after")
    def _subset_of_a_split(self) -> Self:
        if self.subset != "all" and self.hold_out is None:
            raise ValueError(f"subset '{self.subset}' goes with 'hold_out'")
        return self


def select(source: Selection, index: Index) -> Index:
    """Return the images left after ``hold_out``, ``subset``, ``label_map`` and ``take``, in ``order``.

    Under a ``label_map`` the labels are the mapped ones, and ``classes[label]`` is still the class's name;
    indices that nothing is mapped to are named by their number.

    Raises:
        ConfigError: fields that contradict each other or the classes of the source.
        DataError: two images share an id, or no image is left.
    """
    where = _name(source)
    if len({entry.id for entry in index.entries}) != len(index.entries):
        raise DataError("two images share an id", where=where, hint="every id must be unique")
    entries, classes = index.entries, index.classes
    if source.subset != "all":
        entries = _side(source, entries)
    if source.label_map is not None:
        entries, classes = _mapped(source.label_map, entries, classes, where)
    if source.take is not None:
        entries = _taken(entries, source.take)
    if source.order == "shuffled":
        entries = tuple(sorted(entries, key=lambda entry: _digest("order " + entry.id)))
    elif source.order == "by_class":
        entries = tuple(sorted(entries, key=lambda entry: -1 if entry.truth is None else entry.truth))
    if not index.entries:
        raise none_found("images", where, index.passed_over)
    if not entries:
        raise DataError("no images are left", where=where, hint="check subset and label_map")
    return Index(entries, classes, index.passed_over)


def fit(image: NDArray[np.uint8], size: int | None, crop: float) -> NDArray[np.uint8]:
    """Resize the short side to ``size / crop`` pixels and cut the centre square of ``size``.

    Args:
        image: uint8 (h, w, 3).
        size: side of the result in pixels; None keeps the resolution (and, with ``crop`` 1, the shape).
        crop: share of the short side that the square covers, in (0, 1].

    Returns:
        uint8 (size, size, 3), area-averaged when it shrinks, bicubic when it grows. An image that has the
        size already comes back as it is.
    """
    from clearsight.data.media.resize import covering, middle

    if size is None:
        side = max(1, round(min(image.shape[:2]) * crop))
        return image if crop == 1 else middle(image, side, side)
    target = max(size, round(size / crop))
    return middle(covering(image, target, target), size, size)


def fit_boxes(boxes: Boxes | None, stored: tuple[int, ...], size: int | None, crop: float) -> Boxes | None:
    """Return where the boxes of an image are after `fit`, clipped to what is left of it.

    Args:
        boxes: those of the image as it is stored; None in sources without boxes.
        stored: (height, width) of that image.
        size: as of `fit`.
        crop: as of `fit`.

    Raises:
        DataError: the boxes were drawn on an image of another size.
    """
    if boxes is None:
        return None
    height, width = stored
    if (height, width) != (boxes.height, boxes.width):
        raise DataError(
            f"has {height}x{width} pixels, its boxes belong to an image of {boxes.height}x{boxes.width}"
        )
    if size is None:
        side = max(1, round(min(height, width) * crop))
        if crop == 1:
            return boxes
        return boxes.moved((1.0, 1.0), ((width - side) // 2, (height - side) // 2), (side, side))
    target = max(size, round(size / crop))
    (high, wide), (new_high, new_wide) = placement(height, width, target, target)
    factors = new_wide / wide, new_high / high
    # What is cut off before resizing is counted in pixels of the stored image, the rest in those of the new.
    left = (width - wide) // 2 * factors[0] + (new_wide - size) // 2
    top = (height - high) // 2 * factors[1] + (new_high - size) // 2
    return boxes.moved(factors, (left, top), (size, size))


def _name(source: Selection) -> str:
    kind = kind_of(source)
    path = getattr(source, "path", None)
    return f"source {kind} ({path})" if path else f"source {kind}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _by_label(entries: Sequence[Entry]) -> dict[int | None, list[Entry]]:
    found: dict[int | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.truth].append(entry)
    return found


def _side(source: Selection, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    held = _held_out(source.hold_out, entries, _name(source)) if source.hold_out else set()
    wanted = source.subset == "held_out"
    if source.hold_out is not None and source.hold_out.per_class is not None and not wanted:
        least = min(map(len, _by_label(entries).values()), default=0)
        if 0 < least <= source.hold_out.per_class:
            raise ConfigError(
                f"{source.hold_out.per_class} images of each class are held out, and one class has {least}",
                where=_name(source),
                hint="hold out fewer, or a share: {fraction: 0.1}",
            )
    return tuple(entry for entry in entries if (entry.id in held) == wanted)


def _held_out(rule: HoldOut, entries: tuple[Entry, ...], where: str) -> set[str]:
    """Return the ids of the held-out side."""
    if rule.per_class is not None:
        return {entry.id for few in _by_label(entries).values() for entry in few[-rule.per_class :]}
    # A group belongs to the class of its first image: one that spans classes is not torn apart either.
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[_group(rule.group, entry, where)].append(entry)
    ranked: dict[int | None, list[str]] = defaultdict(list)
    for group, members in groups.items():
        ranked[members[0].truth].append(group)
    held: set[str] = set()
    for names in ranked.values():
        names.sort(key=_digest)
        share = round((rule.fraction or 0.0) * len(names))
        amount = min(max(share, 1), len(names) - 1)  # both sides get something of every class that has two
        held.update(entry.id for group in names[:amount] for entry in groups[group])
    return held


def _group(pattern: str | None, entry: Entry, where: str) -> str:
    if pattern is None:
        return entry.id
    found = compiled(pattern, f"{where}: hold_out.group")
    if found.groups < 1:
        raise ConfigError(
            f"hold_out.group '{pattern}' has no group",
            where=where,
            hint="put brackets around the group's name",
        )
    match = found.search(entry.name) if len(entry.name) <= LONGEST_NAME else None
    if match is None or match.group(1) is None:
        raise ConfigError(f"hold_out.group '{pattern}' does not match the name '{entry.name}'", where=where)
    return match.group(1)


def _mapped(
    label_map: dict[str, int], entries: tuple[Entry, ...], classes: tuple[str, ...], where: str
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    known: dict[str, int] = {}
    for label, name in enumerate(classes):
        if token := TOKEN.match(name):
            known.setdefault(token.group(1) or token.group(2), label)
    known |= {name: label for label, name in enumerate(classes)}  # the exact name wins over a token
    renumber: dict[int, int] = {}
    for name, new in label_map.items():
        if name not in known:
            raise ConfigError(
                f"label_map names no class '{name}'", where=where, hint=near_miss(name, classes)
            )
        if not 0 <= new < MOST_CLASSES:
            hint = f"use 0 to {MOST_CLASSES - 1}"
            raise ConfigError(f"label_map gives '{name}' the index {new}", where=where, hint=hint)
        renumber[known[name]] = new
    names = list(map(str, range(max(renumber.values(), default=-1) + 1)))
    for old, new in renumber.items():
        names[new] = classes[old]
    kept = tuple(
        replace(entry, truth=renumber[entry.truth])
        for entry in entries
        if entry.truth is not None and entry.truth in renumber
    )
    # An image whose objects are all of other classes stays: what is found in it is a false alarm.
    kept += tuple(
        replace(entry, boxes=entry.boxes.relabelled(renumber)) for entry in entries if entry.boxes is not None
    )
    return kept, tuple(names)


def _taken(entries: tuple[Entry, ...], take: int) -> tuple[Entry, ...]:
    """Cycle through the classes, each time taking the next image of each in order of its id's hash."""
    order: list[tuple[int, bytes, str]] = []
    for members in _by_label(entries).values():
        ranked = sorted((_digest(entry.id), entry.id) for entry in members)
        order.extend((rank, digest, name) for rank, (digest, name) in enumerate(ranked))
    chosen = {name for _, _, name in sorted(order)[:take]}
    return tuple(entry for entry in entries if entry.id in chosen)
