"""`Poison`: what an attacker does to some of the images that a network is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Spec, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Poison(Spec):
    """Base of all poisons. A subclass adds ``kind``, and the hook `trigger` where it changes pixels.

    Which images are poisoned, and what becomes of their labels, is the affair of the source ``poisoned``.
    """

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""
    triggered: ClassVar[bool] = True
    """Whether images carry a trigger that calls the backdoor up at test time; else only labels are wrong."""

    @final
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image with the trigger.

        Args:
            image: uint8 (h, w, c), c = 3 (RGB) or 1. It is never changed in place.

        Raises:
            ShapeError: the trigger does not fit on it.
        """
        out = self.trigger(image.copy())
        if out.shape != image.shape or out.dtype != image.dtype:
            raise ShapeError(f"returned {out.dtype} {out.shape} for {image.shape}", where=kind_of(self))
        return out

    def trigger(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Hook: return the image with the trigger; ``image`` may be changed."""
        return image
