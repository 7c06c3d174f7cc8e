"""Reads COCO's format of annotations, which anyone may have written: nothing in it is taken for granted.

Format: https://cocodataset.org/#format-data (``images``, ``annotations`` with ``bbox`` [x, y, width, height]
in pixels and ``iscrowd``, ``categories``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from clearsight.data.contract.boxes import Box, Boxes, clipped
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable

MOST_BOXES = 1_000_000
"""Most annotations in one file: COCO's largest split has 860,001."""
MOST_IN_IMAGE = 5_000
"""Most boxes in one image: every detection is compared with each of them."""
Key = int | str | None
"""An id; None where there is none."""
NAMED = 3
"""Annotations that a count of what was left out names."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image as the annotations name it, with its boxes."""

    file_name: str
    boxes: Boxes


@dataclass(frozen=True)
class Annotations:
    """What a file of annotations holds.

    Attributes:
        images: in stored order, those without a box too.
        classes: names of the categories, in the order of their ids.
        left_out: what could not be used, or was changed: one entry a reason, with a count.
    """

    images: tuple[AnnotatedImage, ...]
    classes: tuple[str, ...]
    left_out: tuple[Skipped, ...]


@dataclass
class _LeftOut:
    """Counts what was left out or changed, by reason, and remembers the first of each."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: object) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self.first.setdefault(reason, [])
        if len(named) < NAMED:
            named.append(printable(f"{name!s:.40}"))

    def listed(self, where: str) -> tuple[Skipped, ...]:
        return tuple(
            Skipped(where, f"{count:,} {reason} ({', '.join(self.first[reason])}{', ...' * (count > NAMED)})")
            for reason, count in self.counts.items()
        )


def read_annotations(content: bytes, *, where: str) -> Annotations:
    """Return what a file of annotations holds.

    Boxes are clipped to their image. Left out, and counted by reason, are boxes that are not four finite
    numbers, have no area, lie outside, belong to an unknown image or class, or are there twice.

    Args:
        content: of the file, JSON.
        where: what messages call it.

    Raises:
        DataError: it is no such file, two images, classes or annotations share an id, or there are too many
            boxes.
    """
    told = _parsed(content, where)
    nodes = _list(told, "images", where)
    labels, classes = _classes(_list(told, "categories", where), where)
    annotations = _list(told, "annotations", where)
    if len(annotations) > MOST_BOXES:
        raise DataError(f"holds {len(annotations):,} boxes, at most {MOST_BOXES:,} are read", where=where)
    left_out = _LeftOut()
    sizes = _images(nodes, where, left_out)
    found: dict[Key, list[Box]] = {key: [] for key in sizes}
    for number, annotation in enumerate(_unique(annotations, where, left_out)):
        name = f"annotation {annotation.get('id', number)!s:.20}"
        image, label = _key(annotation.get("image_id")), labels.get(_key(annotation.get("category_id")))
        if image not in found:
            left_out.add("boxes of images that are not listed", name)
        elif label is None:
            left_out.add("boxes of classes that are not listed", name)
        elif (box := _box(annotation, label, sizes[image], left_out, name)) is not None:
            found[image].append(box)
            if len(found[image]) > MOST_IN_IMAGE:
                raise DataError(
                    f"image '{printable(sizes[image][0])}' has more than {MOST_IN_IMAGE:,} boxes", where=where
                )
    images = tuple(
        AnnotatedImage(file_name, Boxes(tuple(found[key]), height, width))
        for key, (file_name, height, width) in sizes.items()
    )
    return Annotations(images, classes, left_out.listed(where))


def _parsed(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        told = json.loads(content)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"is not JSON: {str(error) or type(error).__name__:.100}", where=where) from None
    if not isinstance(told, dict):
        raise DataError("is not a JSON object with images, annotations and categories", where=where)
    return told


def _list(told: Mapping[str, Any], name: str, where: str) -> Sequence[Mapping[str, Any]]:
    nodes = told.get(name)
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise DataError(
            f"has no list '{name}' of objects", where=where, hint="write it in COCO's format (instances)"
        )
    return nodes


def _key(value: Any) -> Key:
    """Return an id: a whole number or a text; None for anything else (lists cannot be looked up)."""
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _classes(nodes: Sequence[Mapping[str, Any]], where: str) -> tuple[dict[Key, int], tuple[str, ...]]:
    """Return category id -> label, and the names by label."""
    names: dict[Key, str] = {}
    taken: set[str] = set()
    for node in nodes:
        key, name = _key(node.get("id")), node.get("name")
        if key is None or not isinstance(name, str) or not name:
            raise DataError("a category has no 'id' or no 'name'", where=where)
        if key in names or name in taken:
            raise DataError(f"two categories are called '{printable(name)}' or have id {key}", where=where)
        names[key] = name
        taken.add(name)
    if not names:
        raise DataError("has no categories", where=where)
    order = sorted(names, key=_place)
    return {key: label for label, key in enumerate(order)}, tuple(printable(names[key]) for key in order)


def _place(key: Key) -> tuple[int, str]:
    """Return what ids are sorted by: numbers first, by size."""
    return (key, "") if isinstance(key, int) else (1 << 62, str(key))


def _images(
    nodes: Sequence[Mapping[str, Any]], where: str, left_out: _LeftOut
) -> dict[Key, tuple[str, int, int]]:
    """Return image id -> name, height and width."""
    found: dict[Key, tuple[str, int, int]] = {}
    ids: set[Key] = set()
    names: set[str] = set()
    for node in nodes:
        key, name = _key(node.get("id")), node.get("file_name")
        if key is None or not isinstance(name, str) or not name:
            raise DataError("an image has no 'id' or no 'file_name'", where=where)
        name = name.removeprefix("./")
        if key in ids or name in names:
            raise DataError(f"two images have the id {key} or the name '{printable(name)}'", where=where)
        ids.add(key)
        names.add(name)
        height, width = node.get("height"), node.get("width")
        if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
            left_out.add("images without their height and width in pixels", name)
        else:
            found[key] = name, height, width
    return found


def _unique(
    annotations: Sequence[Mapping[str, Any]], where: str, left_out: _LeftOut
) -> list[Mapping[str, Any]]:
    """Return annotations without copies: those with the id and the content of an earlier one."""
    seen: dict[Key, Mapping[str, Any]] = {}
    kept = []
    for annotation in annotations:
        key = _key(annotation.get("id"))
        if key is not None and (earlier := seen.setdefault(key, annotation)) is not annotation:
            if earlier != annotation:
                raise DataError(f"two annotations have the id {key!s:.20}", where=where)
            left_out.add("boxes that are there twice", f"annotation {key!s:.20}")
            continue
        kept.append(annotation)
    return kept


def _box(
    annotation: Mapping[str, Any], label: int, image: tuple[str, int, int], left_out: _LeftOut, name: str
) -> Box | None:
    """Return the box of an annotation inside its image; None where it cannot be used."""
    told = annotation.get("bbox")
    numbers = _finite(told) if isinstance(told, list) else None
    if numbers is None or len(numbers) != 4:
        left_out.add("boxes that are not four finite numbers", name)
        return None
    x, y, width, height = numbers
    if width <= 0 or height <= 0:
        left_out.add("boxes without an area", name)
        return None
    whole = Box(x, y, width, height, label, bool(annotation.get("iscrowd", 0)))
    inside = clipped(whole, image[1], image[2])
    if inside is None:
        left_out.add("boxes outside their image", name)
    elif inside != whole:
        left_out.add("boxes clipped to their image, and used", name)
    return inside


def _finite(told: list[Any]) -> list[float] | None:
    """Return numbers as floats; None where one of them is none, or not finite."""
    try:
        numbers = [float(n) for n in told if isinstance(n, (int, float)) and not isinstance(n, bool)]
    except OverflowError:
        return None
    return numbers if len(numbers) == len(told) and all(map(isfinite, numbers)) else None
