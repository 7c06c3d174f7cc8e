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
    """Fills what is out of line with its surroundings, and nothing else.

    A pixel is a hole where some channel is further than ``threshold`` from the median of its square: single
    pixels and lines thinner than half of it. Larger holes look like objects to it and stay; so does
    anything told by a mask, for a restorer gets an image and no more. Holes are filled from their rim inwards
    by the fluid equations of Bertalmio, Bertozzi and Sapiro (2001) or by Telea's fast marching (2004), both
    those of OpenCV. Fine texture of high contrast is mistaken for holes.
    """

    kind: Literal["inpaint"] = "inpaint"
    purpose: ClassVar[str] = "fills dead pixels and scratches, which it finds itself"
    onnx: ClassVar[str] = "runs in OpenCV, which ONNX has no operator for"

    threshold: Annotated[Number, Field(gt=0, lt=1)] = 0.25
    """Least distance from the median of the surroundings, for values in [0, 1]."""
    size: Literal[3, 5] = 5
    """Side in pixels of the square that the median is taken over; 3 finds single pixels only."""
    method: Literal["navier_stokes", "telea"] = "navier_stokes"
    """How holes are filled."""

    def restore_array(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill the holes of one image, float32 (h, w, c) in [0, 1]."""
        import cv2
        import numpy as np

        mask = outliers(image, self.size, self.threshold)
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


def outliers(image: NDArray[np.float32], size: int, threshold: float) -> NDArray[np.bool_]:
    """Return the mask (h, w) of pixels of which some channel is far from the median around it."""
    import cv2
    import numpy as np

    planes = [cv2.medianBlur(np.ascontiguousarray(image[..., c]), size) for c in range(image.shape[2])]
    return np.asarray((np.abs(image - np.stack(planes, axis=2)) > threshold).any(axis=2))
