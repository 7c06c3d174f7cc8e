"""Scratches: thin light and dark lines across an image, as on film or a lens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BENDS = 4
"""Straight pieces of a scratch."""
LENGTHS = (0.3, 1.2)
"""Range of a scratch's length, as a share of the image's longer side."""
WANDER = 0.25
"""Standard deviation of the change of direction from one piece to the next, in radians."""


class Scratches(Corruption):
    """Bent lines, white or black, whose smoothed edges add a pixel or two. It is no part of ImageNet-C."""

    kind: Literal["scratches"] = "scratches"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "thin light and dark lines, as on film or a lens"

    COUNTS: ClassVar[dict[Table, tuple[int, ...]]] = {
        "imagenet_c": (8, 16, 28, 44, 64),
        "cifar_c": (1, 2, 3, 5, 7),
        "tiny_imagenet_c": (2, 3, 5, 8, 12),
    }
    """Number of scratches."""
    WIDEST: ClassVar[dict[Table, tuple[int, ...]]] = {
        "imagenet_c": (1, 2, 2, 2, 2),
        "cifar_c": (1, 1, 1, 1, 1),
        "tiny_imagenet_c": (1, 1, 1, 1, 1),
    }
    """Greatest width in pixels, without the smoothed edges."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the scratched image."""
        place = self.severity - 1
        return scratched(image, self.COUNTS[self.table][place], self.WIDEST[self.table][place], rng)[0]


def scratched(
    image: NDArray[np.uint8], count: int, widest: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a copy of the image (h, w, c) with scratches, and the mask (h, w) of what they touch."""
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    out, mask = image.astype(np.float32), np.zeros((height, width), np.bool_)
    for _ in range(count):
        path = _path(height, width, rng)
        layer = np.zeros((height, width), np.uint8)
        thickness = int(rng.integers(1, widest, endpoint=True))
        level = 255.0 if rng.uniform() < 0.5 else 0.0
        cv2.polylines(layer, [path], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA)
        share = (layer / np.float32(255))[:, :, None]
        out += share * (np.float32(level) - out)
        mask |= layer > 0
    return np.rint(out).astype(np.uint8), mask


def _path(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Draw the corners of a scratch, (BENDS + 1, 2), as x and y in whole pixels."""
    import numpy as np

    start = rng.uniform(0, (width, height))
    angles = rng.uniform(0, 2 * np.pi) + WANDER * rng.standard_normal(BENDS).cumsum()
    step = max(height, width) * rng.uniform(*LENGTHS) / BENDS
    moves = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = np.concatenate([start[None], start + moves.cumsum(axis=0)])
    return np.asarray(np.rint(corners), np.int32)
