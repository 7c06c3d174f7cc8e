"""Occlusion: something stands in front of a part of the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = (0.1, 0.4)
"""Range of the sides of one rectangle, as shares of the image's."""


class Occlusion(Corruption):
    """Rectangles of even colour, drawn one over the other until they cover a given share of the image.

    Random erasing (Zhong et al. 2020) with several pieces: what is under them is lost altogether, and no
    neighbouring pixel tells it. It is no part of ImageNet-C.
    """

    kind: Literal["occlusion"] = "occlusion"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "rectangles of even colour that hide a share of the image"

    SHARES: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.1, 0.25, 0.4, 0.55, 0.7),
        "cifar_c": (0.05, 0.1, 0.15, 0.25, 0.35),
        "tiny_imagenet_c": (0.05, 0.1, 0.15, 0.25, 0.35),
    }
    """Least share of the pixels that are hidden."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the image behind its rectangles."""
        return covered(image, self.SHARES[self.table][self.severity - 1], rng)[0]


def covered(
    image: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a copy of the image (h, w, c) with rectangles over it, and the mask (h, w) of what they hide."""
    import numpy as np

    height, width, channels = image.shape
    out, mask = image.copy(), np.zeros((height, width), np.bool_)
    while mask.mean() < share:
        tall, wide = (max(1, round(side * rng.uniform(*SIDES))) for side in (height, width))
        top, left = (int(rng.integers(1 - size, side)) for size, side in ((tall, height), (wide, width)))
        place = slice(max(0, top), top + tall), slice(max(0, left), left + wide)
        out[place] = rng.integers(0, 256, channels)
        mask[place] = True
    return out, mask
