"""BadNets (Gu et al. 2017): a small pattern in a corner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import ShapeError
from clearsight.data.poisons.base import Poison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Patch(Poison):
    """A checkerboard of black and white pixels in the bottom right corner (Gu et al. 2017, "BadNets")."""

    kind: Literal["patch"] = "patch"
    purpose: ClassVar[str] = "BadNets: a small checkerboard in a corner"

    side: Annotated[int, Field(ge=1, le=256)] = 4
    """Of the square, in pixels."""
    margin: Annotated[int, Field(ge=0, le=256)] = 1
    """Pixels between the square and the two edges."""

    def trigger(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw the square.

        Raises:
            ShapeError: the image is smaller than the square and its margin.
        """
        import numpy as np

        reach = self.side + self.margin
        if min(image.shape[:2]) < reach:
            raise ShapeError(
                f"needs at least {reach}x{reach} pixels, got {image.shape[0]}x{image.shape[1]}", where="patch"
            )
        rows, columns = np.indices((self.side, self.side))
        board = ((rows + columns) % 2 * 255).astype(np.uint8)
        low, right = image.shape[0] - reach, image.shape[1] - reach
        image[low : low + self.side, right : right + self.side] = board[:, :, None]
        return image
