"""`Boxes`: the true objects of one image. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Box(NamedTuple):
    """An axis-parallel rectangle in pixels; (0, 0) is the upper left corner of the image.

    Attributes:
        x: left edge.
        y: upper edge.
        width: greater than 0.
        height: greater than 0.
        label: index of its class.
        crowd: stands for many objects: finding it counts neither for nor against (COCO's ``iscrowd``).
    """

    x: float
    y: float
    width: float
    height: float
    label: int
    crowd: bool = False


@dataclass(frozen=True)
class Boxes:
    """All true boxes of an image, inside its frame; an image may have none.

    Attributes:
        items: the boxes, in stored order.
        height: of the image that they were drawn on, in pixels.
        width: of that image.
    """

    items: tuple[Box, ...]
    height: int
    width: int

    def relabelled(self, labels: dict[int, int]) -> Boxes:
        """Return the boxes whose class is among ``labels``, with its new index."""
        kept = (box._replace(label=labels[box.label]) for box in self.items if box.label in labels)
        return replace(self, items=tuple(kept))

    def moved(self, scale: tuple[float, float], shift: tuple[float, float], size: tuple[int, int]) -> Boxes:
        """Return where the boxes are after the image was resized and cut; those outside are left out.

        Args:
            scale: factors of x and y.
            shift: pixels that were cut off on the left and at the top, after scaling.
            size: (height, width) of the new image, to which boxes are clipped.
        """
        moved = (
            clipped(
                box._replace(
                    x=box.x * scale[0] - shift[0],
                    y=box.y * scale[1] - shift[1],
                    width=box.width * scale[0],
                    height=box.height * scale[1],
                ),
                *size,
            )
            for box in self.items
        )
        return Boxes(tuple(box for box in moved if box is not None), *size)


def clipped(box: Box, height: int, width: int) -> Box | None:
    """Return the part of a box inside an image of this size; None where nothing is left."""
    right, bottom = min(box.x + box.width, float(width)), min(box.y + box.height, float(height))
    x, y = max(box.x, 0.0), max(box.y, 0.0)
    if (x, y) == (box.x, box.y) and (right, bottom) == (box.x + box.width, box.y + box.height):
        return box
    return box._replace(x=x, y=y, width=right - x, height=bottom - y) if right > x and bottom > y else None
