"""Elastic transform: the image is stretched by a random affine map and a smooth random field."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.fields import normal
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ElasticTransform(Corruption):
    """Move three points of the image at random (affine), then displace every pixel (Simard et al. 2003).

    The published field is white noise, uniform in [-1, 1], behind a Gaussian filter with reflected borders.
    That filter is diagonal in the cosine basis, so the field is drawn there with the same variances: only the
    few coefficients that survive are drawn, as normal numbers. This is the procedure of the scripts that made
    ImageNet-C, CIFAR-C and Tiny-ImageNet-C; imagecorruptions has another, milder one. The constants are
    shares of the shorter side (published as multiples of 244, of 32 and of 64), so that every size is bent
    alike.
    """

    kind: Literal["elastic_transform"] = "elastic_transform"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "local stretching"
    BEND: ClassVar[dict[str, tuple[tuple[float, float, float], ...]]] = {
        "imagenet_c": (
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        ),
        "cifar_c": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "tiny_imagenet_c": (
            (0, 0, 0.08),
            (0.05, 0.3, 0.06),
            (0.1, 0.08, 0.06),
            (0.1, 0.03, 0.03),
            (0.16, 0.03, 0.02),
        ),
    }
    """Factor of the field, sigma of its filter and reach of the affine map's points, as shares of `UNIT`."""
    UNIT: ClassVar[dict[str, float]] = {"imagenet_c": 244 / 224, "cifar_c": 1.0, "tiny_imagenet_c": 1.0}
    """What one is worth in shorter sides: the published script for 224 pixels counts in 244."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the bent image."""
        import cv2
        import numpy as np

        height, width = image.shape[:2]
        unit = self.UNIT[self.table] * min(height, width)
        factor, sigma, reach = (unit * share for share in self.BEND[self.table][self.severity - 1])
        middle, arm = np.array([width // 2, height // 2], np.float32), min(height, width) // 3
        points = middle + np.array([[arm, arm], [arm, -arm], [-arm, -arm]], np.float32)
        moved = points + rng.uniform(-reach, reach, (3, 2))
        affine = cv2.getAffineTransform(points, moved.astype(np.float32))
        bent = cv2.warpAffine(
            image.astype(np.float32), affine, (width, height), borderMode=cv2.BORDER_REFLECT_101
        )
        if factor > 0:
            field = smooth_field(height, width, sigma, rng) * np.float32(factor)
            across = field[0] + np.arange(width, dtype=np.float32)
            down = field[1] + np.arange(height, dtype=np.float32)[:, None]
            bent = cv2.remap(bent, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return truncate(np.asarray(bent, np.float32).reshape(image.shape))


def smooth_field(height: int, width: int, sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return two fields (2, h, w): Gaussian-filtered white noise of variance 1/3, borders reflected."""
    import numpy as np
    from scipy.fft import idctn

    rows, columns = _decay(height, sigma), _decay(width, sigma)
    waves = np.zeros((2, height, width), np.float32)
    drawn = normal(rng, 2 * len(rows) * len(columns)).reshape(2, len(rows), len(columns))
    waves[:, : len(rows), : len(columns)] = drawn * (rows[:, None] * columns * np.float32(3**-0.5))
    # A fast transform, not a product of matrices: the sums of BLAS depend on how many threads it uses.
    return np.asarray(idctn(waves, axes=(1, 2), norm="ortho", overwrite_x=True), np.float32)


@lru_cache(maxsize=64)
def _decay(length: int, sigma: float) -> NDArray[np.float32]:
    """Return what the filter, cut off at 3 sigma, leaves of each cosine wave, down to about a thousandth."""
    import numpy as np

    count = min(length, int(3.8 * length / (np.pi * sigma)) + 2)
    reach = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    taps = np.exp(-0.5 * (reach / sigma) ** 2)
    # With half-sample reflection at both ends, cosine k passes a symmetric filter times this number.
    waves = np.cos(np.pi / length * np.outer(np.arange(count), reach))
    return np.asarray(waves @ (taps / taps.sum()), np.float32)
