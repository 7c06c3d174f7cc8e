"""`Corruption`: a common image corruption with severity 0 (identity) to 5 (Hendrycks & Dietterich 2019)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Spec, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng

Table = Literal["imagenet_c", "cifar_c"]
MINIMUM = 16
"""Smallest height and width in pixels that corruptions are defined for."""


def is_clean(severity: float) -> bool:
    """Return whether a corruption of this severity leaves images as they are, whatever its type.

    This is the one meaning of clean: for runs, for their figures and for their reports.
    """
    return severity == 0


class Corruption(Spec):
    """Base of all corruptions. A subclass adds ``kind``, its severity tables and the hook ``apply``."""

    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "none"
    """Family in the benchmark; ``extra`` marks the four types kept apart as unseen ones."""
    stochastic: ClassVar[bool] = False
    """True where the output depends on the random stream."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    severity: Annotated[int, Field(ge=0, le=5)] = 3
    """0 leaves the image as it is, 5 is strongest."""
    table: Table = "imagenet_c"
    """Severity constants: those of ImageNet-C (224 px) or of CIFAR-C (32 px)."""

    @property
    def clean(self) -> bool:
        """Return True where images stay as they are: any type at severity 0, as `is_clean` says."""
        return is_clean(self.severity)

    @final
    def __call__(self, image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
        """Corrupt one image.

        Args:
            image: uint8 (h, w, c), c = 3 (RGB) or 1, at least 16x16. It is never changed in place.
            rng: the sample's stream; kind and severity are added to its path here.

        Returns:
            uint8 array of the same shape, as the published data sets store it.

        Raises:
            ShapeError: another shape or type, or smaller than 16x16.
        """
        import numpy as np

        name = kind_of(self)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
            raise ShapeError(f"expects uint8 (h, w, 1 or 3), got {image.dtype} {image.shape}", where=name)
        if self.clean:
            return image.copy()
        if min(image.shape[:2]) < MINIMUM:
            raise ShapeError(
                f"needs at least {MINIMUM}x{MINIMUM} pixels, got {image.shape[0]}x{image.shape[1]}",
                where=name,
            )
        stream = rng.at(name, self.severity).numpy() if self.stochastic else _no_stream()
        out = self.apply(image, stream)
        if out.shape != image.shape or out.dtype != np.uint8:
            raise ShapeError(f"returned {out.dtype} {out.shape} for {image.shape}", where=name)
        return out

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Hook: return the corrupted image, same shape, uint8, at ``self.severity`` >= 1."""
        raise NotImplementedError


@cache
def _no_stream() -> np.random.Generator:
    """Return what types that draw nothing are handed: naming a stream costs more than some of them do."""
    from clearsight.data.contract.rng import Rng

    return Rng(0).numpy()
