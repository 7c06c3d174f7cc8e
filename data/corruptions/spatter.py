"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.fields import normal
from clearsight.data.corruptions.pixels import GREY, truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Drops(NamedTuple):
    """One severity: a field N(mean, spread), filtered with sigma, is liquid above the threshold."""

    mean: float
    spread: float
    sigma: float
    threshold: float
    strength: float
    mud: bool


class Spatter(Corruption):
    """Add pale drops (severities 1 to 3) or cover with brown spots (4 and 5) where smooth noise is high.

    Water is shaded by the distance from the drops' outlines, so that they look lit from one side.
    """

    kind: Literal["spatter"] = "spatter"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "extra"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "drops of water (1 to 3) or mud (4, 5) on the lens"
    DROPS: ClassVar[dict[str, tuple[Drops, ...]]] = {
        "imagenet_c": (
            Drops(0.65, 0.3, 4, 0.69, 0.6, False),
            Drops(0.65, 0.3, 3, 0.68, 0.6, False),
            Drops(0.65, 0.3, 2, 0.68, 0.5, False),
            Drops(0.65, 0.3, 1, 0.65, 1.5, True),
            Drops(0.67, 0.4, 1, 0.65, 1.5, True),
        ),
        "cifar_c": (
            Drops(0.62, 0.1, 0.7, 0.7, 0.5, False),
            Drops(0.65, 0.1, 0.8, 0.7, 0.5, False),
            Drops(0.65, 0.3, 1, 0.69, 0.5, False),
            Drops(0.65, 0.1, 0.7, 0.69, 0.6, True),
            Drops(0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
        "tiny_imagenet_c": (
            Drops(0.62, 0.1, 0.7, 0.7, 0.6, False),
            Drops(0.65, 0.1, 0.8, 0.7, 0.6, False),
            Drops(0.65, 0.3, 1, 0.69, 0.6, False),
            Drops(0.65, 0.1, 0.7, 0.68, 0.6, True),
            Drops(0.65, 0.1, 0.5, 0.67, 0.6, True),
        ),
    }
    """Field, filter, threshold, strength of the water (or sigma of the mud's edge), and whether it is mud."""
    WATER: ClassVar[tuple[int, int, int]] = (175, 238, 238)
    MUD: ClassVar[tuple[int, int, int]] = (63, 42, 20)

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the splashed image."""
        import numpy as np

        drops = self.DROPS[self.table][self.severity - 1]
        noise = normal(rng, image.shape[0] * image.shape[1]).reshape(image.shape[:2])
        noise *= drops.spread
        noise += drops.mean
        liquid = _gaussian(noise, drops.sigma)
        if not drops.mud:
            share = _water(liquid, drops)
            # The colour's brightest channels saturate first: each is clipped to 1 before it is added.
            layers = [share * tone for tone in self._tones(self.WATER, image)]
            return truncate(np.add(image, _stack(layers), dtype=np.float32))
        share = _gaussian((liquid > drops.threshold).astype(np.float32), drops.strength)
        share[share < 0.8] = 0
        left = 1 - share
        out = np.multiply(image, _stack([left] * image.shape[2]), dtype=np.float32)
        out += _stack([share * tone for tone in self._tones(self.MUD, image)])
        return truncate(out)

    @staticmethod
    def _tones(colour: tuple[int, int, int], image: NDArray[np.uint8]) -> tuple[float, ...]:
        if image.shape[2] == 3:
            return colour
        return (sum(weight * tone for weight, tone in zip(GREY, colour, strict=True)),)


def _water(liquid: NDArray[np.float32], drops: Drops) -> NDArray[np.float32]:
    """Return how much of the water's colour each pixel takes, 0 to the strength."""
    import cv2
    import numpy as np

    liquid[liquid < drops.threshold] = 0
    depth = (liquid.clip(0, 1) * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(depth, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8)
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    shade = cv2.filter2D(cv2.equalizeHist(distance), cv2.CV_8U, light)
    share = depth * np.asarray(cv2.blur(shade, (3, 3)), np.float32)
    # A small image may have no drop at all.
    return share * np.float32(drops.strength / max(1.0, float(share.max())))


def _gaussian(field: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Filter with a Gaussian cut off at 4 sigma, borders repeated."""
    import cv2
    import numpy as np

    size = 2 * int(4 * sigma + 0.5) + 1
    return np.asarray(
        cv2.GaussianBlur(field, (size, size), sigma, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _stack(layers: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    import cv2
    import numpy as np

    return layers[0][..., None] if len(layers) == 1 else np.asarray(cv2.merge(layers), np.float32)
