"""Motion blur: the camera moves while the shutter is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.kernels import GUARD, line, streak
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MotionBlur(Corruption):
    """A fading streak, at most 45 degrees from the horizontal (Hendrycks & Dietterich 2019).

    The direction is random. The streak follows imagecorruptions (Michaelis et al. 2019): whole-pixel steps,
    one-sided Gaussian weights. The published data sets were made with ImageMagick's motion blur of the same
    radius and sigma, which this reproduces in kind, not in every pixel. As in imagecorruptions a streak
    longer than the image is cut, so that images smaller than the streak (41 pixels at most) get darker:
    use the table ``cifar_c`` for them.
    """

    kind: Literal["motion_blur"] = "motion_blur"
    group = "blur"
    stochastic = True
    purpose: ClassVar[str] = "blur of a moving camera"

    STREAKS: ClassVar[dict[Table, tuple[tuple[int, float], ...]]] = {
        "imagenet_c": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "cifar_c": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "tiny_imagenet_c": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    }
    """Radius (the streak is 2 radius + 1 pixels long) and standard deviation of its weights, in pixels."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw a direction and sum the image along it."""
        radius, sigma = self.STREAKS[self.table][self.severity - 1]
        taps = line(radius, sigma, rng.uniform(-45, 45), *image.shape[:2])
        return truncate(streak(image, taps), guard=GUARD)
