"""The condition that leaves images as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Identity(Corruption):
    """No corruption: the clean image."""

    kind: Literal["identity"] = "identity"
    purpose: ClassVar[str] = "the clean image"
    severity: Literal[0] = 0

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a copy."""
        return image.copy()
