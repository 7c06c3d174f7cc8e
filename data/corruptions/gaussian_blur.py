"""Gaussian blur."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.kernels import GUARD, smooth
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GaussianBlur(Corruption):
    """Convolution with a Gaussian, cut at four standard deviations (Hendrycks & Dietterich 2019)."""

    kind: Literal["gaussian_blur"] = "gaussian_blur"
    group = "extra"
    purpose: ClassVar[str] = "Gaussian blur"

    SIGMAS: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (1, 2, 3, 4, 6),
        "cifar_c": (0.4, 0.6, 0.7, 0.8, 1),
        "tiny_imagenet_c": (0.5, 0.75, 1, 1.25, 1.5),
    }
    """Standard deviation in pixels."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Filter rows, then columns."""
        return truncate(smooth(image, self.SIGMAS[self.table][self.severity - 1]), guard=GUARD)
