"""Inpainting of dead pixels and scratches that it finds itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import ArrayRestorerSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from clearsight.data.contract.types import Images

REACH = 3
"""Radius in pixels of the neighbourhood that a hole is filled from."""
LEVELS = 65535
"""Grey levels of the filled pixels; the others stay as they are."""


class Inpaint(ArrayRestorerSpec):
    """Fills pixels that are black or white and out of line with their surroundings, and nothing else.

    A pixel is a hole where all its channels lie within ``margin`` of black, or of white, and one of them is
    further than ``threshold`` from the median of its square: single pixels, and lines thinner than half of
    it. Larger holes look like objects and stay: no mask tells them, for a restorer gets an image alone.
    Holes are filled from their rim inwards by the fluid equations of Bertalmio, Bertozzi and Sapiro (2001)
    or by Telea's fast marching (2004), both those of OpenCV.
    """

    kind: Literal["inpaint"] = "inpaint"
    purpose: ClassVar[str] = "fills dead pixels and scratches, which it finds itself"
    onnx: ClassVar[str] = "runs in OpenCV, which ONNX has no operator for"

    threshold: Annotated[Number, Field(gt=0, lt=1)] = 0.15
    """Least distance from the median of the surroundings, for values in [0, 1]."""
    margin: Annotated[Number, Field(gt=0, le=0.5)] = 0.1
    """How far from black or white a hole may be."""
    size: Literal[3, 5, 7, 9] = 5
    """Side in pixels of the square that the median is taken over: over twice the width of the widest line."""
    rim: bool = False
    """Whether neighbours of a hole that are half a threshold off belong to it: for scratches, whose edges are
    smooth, not for dead pixels."""
    method: Literal["navier_stokes", "telea"] = "navier_stokes"
    """How holes are filled."""

    def restore_array(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill the holes of one image, float32 (h, w, c) in [0, 1]."""
        import cv2
        import numpy as np

        mask = holes(image, self.size, self.threshold, self.margin, rim=self.rim)
        if mask.all() or not mask.any():
            return image
        flags = cv2.INPAINT_TELEA if self.method == "telea" else cv2.INPAINT_NS
        # OpenCV fills one channel at a time where there are more than 8 bits, and adds half to floats.
        levels = np.rint(image * LEVELS).astype(np.uint16)
        planes = [
            cv2.inpaint(np.ascontiguousarray(levels[..., c]), mask.astype(np.uint8), REACH, flags)
            for c in range(image.shape[2])
        ]
        filled = np.stack(planes, axis=2) / np.float32(LEVELS)
        return np.where(mask[:, :, None], filled, image)

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the identity, which the restorer is wherever it finds no hole (BPDA)."""
        return 1.0 * x


def holes(
    image: NDArray[np.float32], size: int, threshold: float, margin: float, *, rim: bool
) -> NDArray[np.bool_]:
    """Return the mask (h, w) of the holes of an image (h, w, c); the arguments are `Inpaint`'s fields."""
    import cv2
    import numpy as np

    # Only of 8 bits does OpenCV take medians over more than 5x5 pixels.
    levels = np.rint(image * 255).astype(np.uint8)
    planes = [cv2.medianBlur(np.ascontiguousarray(levels[..., c]), size) for c in range(image.shape[2])]
    distance = np.abs(image - np.stack(planes, axis=2) / np.float32(255)).max(axis=2)
    extreme = (image.max(axis=2) <= margin) | (image.min(axis=2) >= 1 - margin)
    found = extreme & (distance > threshold)
    if rim:
        near = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        found |= near & (distance > threshold / 2)
    return np.asarray(found)
