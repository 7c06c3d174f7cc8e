"""Blur kernels (point spread functions) for deconvolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from clearsight.data.contract.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 127
"""Longest side in pixels of a kernel that is read from a file."""


class KernelSpec(Spec):
    """Base of blur kernels. The blurred image is the convolution of the sharp one with ``taps()``."""

    def taps(self) -> NDArray[np.float64]:
        """Return the kernel: (k, k), k odd, non-negative, sums to 1, centred."""
        raise NotImplementedError


class GaussianKernel(KernelSpec):
    """Gaussian blur, cut at three standard deviations."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: Annotated[float, Field(gt=0, le=20)] = 1.5
    """Standard deviation in pixels."""

    def taps(self) -> NDArray[np.float64]:
        """Return the sampled Gaussian."""
        import numpy as np

        radius = max(1, math.ceil(3 * self.sigma))
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / self.sigma) ** 2)
        return _normal(np.outer(line, line))


class DiskKernel(KernelSpec):
    """Uniform disk: defocus of a lens with a round aperture."""

    kind: Literal["disk"] = "disk"
    radius: Annotated[float, Field(gt=0, le=40)] = 3.0
    """Radius in pixels."""

    def taps(self) -> NDArray[np.float64]:
        """Return the share of each pixel that the disk covers (8x8 points a pixel)."""
        import numpy as np

        half, fine = math.ceil(self.radius), 8
        at = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
        inside = (at[:, None] ** 2 + at[None, :] ** 2 <= self.radius**2).astype(np.float64)
        side = 2 * half + 1
        return _normal(inside.reshape(side, fine, side, fine).mean(axis=(1, 3)))


class MotionKernel(KernelSpec):
    """Straight line at constant speed: camera or object motion."""

    kind: Literal["motion"] = "motion"
    length: Annotated[float, Field(ge=1, le=100)] = 9.0
    """Length of the line in pixels."""
    angle: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """Direction in degrees, counter-clockwise from the horizontal."""

    def taps(self) -> NDArray[np.float64]:
        """Return the line, drawn with bilinear weights."""
        import numpy as np

        points = max(64, 16 * math.ceil(self.length))
        along = (np.arange(points) + 0.5) / points * self.length - self.length / 2
        return _drawn(along, np.ones(points), self.angle, math.ceil(self.length / 2))


class FadingMotionKernel(KernelSpec):
    """Straight motion whose light fades as half a Gaussian: it starts at the pixel and gets ever fainter.

    The common corruptions' motion blur (Hendrycks and Dietterich 2019) is of this kind.
    """

    kind: Literal["fading_motion"] = "fading_motion"
    sigma: Annotated[float, Field(gt=0, le=20)] = 5.0
    """Standard deviation of the Gaussian in pixels; it is cut at three of them."""
    angle: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """Direction of the fading in degrees, counter-clockwise from the right."""

    def weights(self) -> NDArray[np.float64]:
        """Return the weights at steps of one pixel; they sum to 1."""
        import numpy as np

        return _normal(np.exp(-0.5 * (np.arange(math.ceil(3 * self.sigma) + 1) / self.sigma) ** 2))

    def taps(self) -> NDArray[np.float64]:
        """Return the half-line, drawn with bilinear weights; it starts in the middle."""
        import numpy as np

        weights = self.weights()
        return _drawn(np.arange(len(weights), dtype=np.float64), weights, self.angle, len(weights) - 1)


class FileKernel(KernelSpec):
    """A kernel of your own: a .npy file with a matrix, or a grey image whose brightness is the kernel.

    It is scaled to sum 1 and centred in a square of odd side; an odd row or column of zeros comes last.
    """

    kind: Literal["file"] = "file"
    path: str
    """File, absolute or below the working folder, ``$CLEARSIGHT_DATA`` or ``$CLEARSIGHT_HOME/data``."""

    def identity(self) -> dict[str, Any]:
        """Return the fields and the sha256 of the file, so that another kernel is another key."""
        from clearsight.data.home import locate
        from clearsight.data.weights import digest

        return super().identity() | {"sha256": digest(locate(self.path))}

    def taps(self) -> NDArray[np.float64]:
        """Read the file.

        Raises:
            DataError: it is missing, or not a non-negative matrix of at most 127x127 with a positive sum.
        """
        import numpy as np

        from clearsight.data.contract.errors import DataError

        taps = _read(self.path)
        if taps.ndim != 2 or not 1 <= max(taps.shape) <= LARGEST:
            raise DataError(
                f"a kernel is a matrix of at most {LARGEST}x{LARGEST}, this one is {taps.shape}",
                where=self.path,
            )
        if not np.isfinite(taps).all() or taps.min() < 0 or taps.sum() <= 0:
            raise DataError("a kernel has finite values >= 0 and a positive sum", where=self.path)
        side = max(taps.shape) // 2 * 2 + 1
        square = np.zeros((side, side))
        top, left = (side - taps.shape[0]) // 2, (side - taps.shape[1]) // 2
        square[top : top + taps.shape[0], left : left + taps.shape[1]] = taps
        return _normal(square)


def _read(path: str) -> NDArray[np.float64]:
    import cv2
    import numpy as np

    from clearsight.data.contract.errors import DataError
    from clearsight.data.home import locate

    file = locate(path)
    if file.suffix == ".npy":
        try:
            return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the kernel: {error}", where=path) from None
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2:
        raise DataError("not a grey image", where=path, hint="give a .npy matrix or a grey PNG")
    return np.asarray(image, dtype=np.float64)


def _drawn(
    along: NDArray[np.float64], weights: NDArray[np.float64], angle: float, half: int
) -> NDArray[np.float64]:
    """Return points on a line through the middle of a square, drawn with bilinear weights.

    Args:
        along: distances from the middle in pixels.
        weights: of the points.
        angle: of the line in degrees, counter-clockwise from the right.
        half: the square's side is ``2 half + 1``.
    """
    import numpy as np

    rows = half - along * math.sin(math.radians(angle))
    columns = half + along * math.cos(math.radians(angle))
    at = np.arange(2 * half + 1)
    near_rows = np.maximum(0.0, 1.0 - np.abs(at[:, None] - rows))
    near_columns = np.maximum(0.0, 1.0 - np.abs(at[:, None] - columns))
    return _normal(near_rows * weights @ near_columns.T)


def _normal(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = taps / taps.sum()
    return out


Kernel = Annotated[
    GaussianKernel | DiskKernel | MotionKernel | FadingMotionKernel | FileKernel, Field(discriminator="kind")
]
"""Any blur kernel, as the field of a restorer."""
