"""Haze by its physics: what is far away is weakened, and airlight takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIGHT = (0.7, 1.0)
"""Range of the airlight's brightness, as in RESIDE (Li et al. 2019)."""
CAST = 0.03
"""Greatest difference of a channel of the airlight from its brightness."""
OPEN_AIR = 0.5
"""Share of the scenes with a horizon; the others are rooms or close views without a plan."""
COARSEST, FINEST = 2, 5
"""Grid points along each side of the depth's random fields: hills, then objects."""


class Haze(Corruption):
    """Koschmieder's law ``I = J t + A (1 - t)`` with the transmission ``t = exp(-beta d)``.

    The depth d is drawn, for the image does not tell it: a plane seen in perspective under a horizon, or no
    plan at all, each times a smooth random field; its mean is 1, so that ``beta`` is the optical thickness
    of the average pixel. The airlight A is a bright grey with a slight cast. As in RESIDE the law is applied
    to the values of the file (sRGB). It is no part of ImageNet-C, whose ``fog`` is a texture laid over the
    image, without depth.
    """

    kind: Literal["haze"] = "haze"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "haze that grows with a drawn depth: Koschmieder's law"

    BETA: ClassVar[dict[Table, tuple[float, ...]]] = {
        "imagenet_c": (0.6, 1.0, 1.5, 2.2, 3.0),
        "cifar_c": (0.4, 0.6, 0.9, 1.2, 1.6),
        "tiny_imagenet_c": (0.4, 0.6, 0.9, 1.2, 1.6),
    }
    """Optical thickness at the mean depth: the average pixel keeps about exp(-beta) of its contrast."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the hazy image."""
        import numpy as np

        beta = self.BETA[self.table][self.severity - 1]
        height, width = image.shape[:2]
        clear = np.exp(-beta * depth_map(height, width, rng))[:, :, None]
        light = 255 * airlight(rng)
        if image.shape[2] == 1:
            light = light.mean(keepdims=True)
        hazy = image * clear + light * (1 - clear)
        return np.asarray(np.rint(hazy).clip(0, 255), np.uint8)


def airlight(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the colour of the airlight, (3,) in [0, 1]: a bright grey with a slight cast."""
    import numpy as np

    drawn = rng.uniform(*LIGHT) + rng.uniform(-CAST, CAST, 3)
    return np.asarray(drawn.clip(0, 1))


def depth_map(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the depths of a scene, (height, width), positive, mean 1.

    With a horizon, the depth falls below it as on a plane, ``1 / (rows below it)``, and is largest above.
    """
    import numpy as np

    depth = np.exp(
        smooth_field(height, width, COARSEST, rng) + 0.5 * smooth_field(height, width, FINEST, rng)
    )
    if rng.uniform() < OPEN_AIR:
        horizon, near = rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.4)
        below = (np.arange(height) + 0.5) / height - horizon
        # Beyond `near` of the height the plane counts as infinitely far, like the sky.
        depth *= (near / np.maximum(below, near / 4))[:, None]
    return np.asarray(depth / depth.mean())


def smooth_field(height: int, width: int, points: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a field (height, width) of about +-0.5, bicubic between ``points`` squared uniform numbers."""
    import cv2
    import numpy as np

    grid = rng.uniform(-0.5, 0.5, (points, points))
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC))
