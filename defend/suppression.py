"""Non-maximum suppression, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.defend.box_matching import Floats, overlaps


def suppressed(boxes: Floats, labels: NDArray[Any], overlap: float) -> NDArray[np.int64]:
    """Return which boxes are left where each one takes away those of its class that it overlaps too much.

    Args:
        boxes: (d, 4), x, y, width and height, the highest score first.
        labels: (d,), classes: boxes of different classes leave each other alone.
        overlap: intersection over union above which the later box goes.

    Returns:
        Positions of those that are left, in their order.
    """
    shared = overlaps(boxes, boxes, np.zeros(len(boxes), np.bool_)) > overlap
    shared &= labels[:, None] == labels[None]
    alive = np.ones(len(boxes), np.bool_)
    for place in range(len(boxes)):
        if alive[place]:
            alive[place + 1 :] &= ~shared[place, place + 1 :]
    return np.flatnonzero(alive)
