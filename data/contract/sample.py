"""`Sample` and `Skipped`: the common currency of sources and corruptions. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.boxes import Boxes


@dataclass(frozen=True)
class Sample:
    """One decoded image.

    Attributes:
        id: stable name such as ``cifar10/test/00042``; it names the sample's random streams.
        image: uint8, (h, w, c) with c = 3 (RGB) or 1 (grey).
        truth: index of its class in the source, or None where it has no label.
        boxes: its true objects, where the source knows boxes; an image without objects has none of them.
    """

    id: str
    image: NDArray[np.uint8]
    truth: int | None = None
    boxes: Boxes | None = None


@dataclass(frozen=True)
class Skipped:
    """One image that could not be used, and why. It is listed in the run folder, never dropped silently."""

    id: str
    reason: str
