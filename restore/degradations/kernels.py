"""Blur kernels drawn at random or from their parameters: camera shake, defocus, Gaussian.

Every kernel is a square of odd side, non-negative, with sum 1 and its centre of mass at the middle, so that
a blurred image does not shift against the sharp one. Several are made at once, without a loop over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.contract.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng

POINTS = 192
"""Points per path: on average at most half a pixel apart for lengths up to 96 pixels."""
STRAIGHT = 0.25
"""Share of paths that are straight lines at even speed (a moving object, a panned camera)."""
WANDER = (0.3, 4.0)
"""Range of the standard deviation, in radians, of the change of heading from end to end of a shaken path."""
TURNS = 0.8
"""Mean number of sudden turns in a shaken path."""
UNEVEN = 0.6
"""Standard deviation of the logarithm of the speed along a shaken path."""
FINE = 8
"""Sampling points per pixel and axis, to measure how much of a pixel lies inside a disk."""


def motion_kernels(rng: Rng, side: int, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw the paths of a shaken camera and rasterise them with bilinear weights.

    The idea is that of Boracchi & Foi, "Modeling the performance of image restoration from motion blur",
    2012 (their generator is also DeblurGAN's): a point whose velocity is perturbed by Gaussian noise and by
    rare impulses. Here the heading does a random walk with sudden turns, the logarithm of the speed another
    one, and nothing pulls the point back, so that all paths are drawn by cumulative sums. A quarter of them
    are straight lines.

    Args:
        rng: stream of these kernels.
        side: of the kernels in pixels, odd.
        lengths: (k,), along the path, in pixels. Paths that would leave the square are shrunk to fit.

    Returns:
        (k, side, side).

    Raises:
        ConfigError: the side is not odd and positive.
    """
    radius = _radius(side)
    draw = rng.numpy()
    count = len(lengths)
    shaken = (draw.random((count, 1)) >= STRAIGHT).astype(np.float64)
    wander = draw.uniform(*WANDER, (count, 1))
    steps = draw.standard_normal((count, POINTS)) * wander / np.sqrt(POINTS)
    steps += (draw.random((count, POINTS)) < TURNS / POINTS) * draw.normal(0.0, np.pi / 2, (count, POINTS))
    heading = draw.uniform(0.0, 2 * np.pi, (count, 1)) + shaken * np.cumsum(steps, axis=1)
    pace = np.cumsum(draw.standard_normal((count, POINTS)), axis=1) / np.sqrt(POINTS / 2)
    speed = np.exp(UNEVEN * shaken * pace)
    speed *= lengths[:, None] / speed.sum(axis=1, keepdims=True)
    return _drawn(np.cumsum(speed * np.sin(heading), 1), np.cumsum(speed * np.cos(heading), 1), radius)


def _drawn(rows: NDArray[np.float64], columns: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Rasterise paths (k, points), after moving their centre of mass to the middle and fitting them in."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    columns = columns - columns.mean(axis=1, keepdims=True)
    reach = np.maximum(np.abs(rows).max(axis=1), np.abs(columns).max(axis=1))[:, None]
    fit = np.minimum(1.0, radius / np.maximum(reach, 1e-9))
    at = np.arange(-radius, radius + 1)[None, :, None]
    # Bilinear weights keep the centre of mass, and are separable in each point.
    near_rows = np.maximum(0.0, 1.0 - np.abs(at - (rows * fit)[:, None]))
    near_columns = np.maximum(0.0, 1.0 - np.abs(at - (columns * fit)[:, None]))
    return _normal(near_rows @ near_columns.transpose(0, 2, 1))


def defocus_kernels(radii: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return uniform disks, the geometric model of a defocused lens with a round aperture.

    Each pixel weighs as much as the share of it, over 8x8 points, that the disk covers.

    Args:
        radii: (k,) in pixels, positive; what lies outside the square is cut off.
        side: of the kernels in pixels, odd.

    Returns:
        (k, side, side).

    Raises:
        ConfigError: the side is not odd and positive.
    """
    half = _radius(side) + 0.5
    axis = (np.arange(side * FINE) + 0.5) / FINE - half
    # float32 and one call for all pixels: this is the slowest of the three kinds.
    squared = (axis[:, None] ** 2 + axis**2).astype(np.float32)
    inside = squared <= (radii.astype(np.float32) ** 2)[:, None, None]
    counts = inside.reshape(len(radii), side, FINE, side * FINE).sum(axis=2, dtype=np.int32)
    shares = counts.reshape(len(radii), side, side, FINE).sum(axis=3).astype(np.float64)
    # A disk smaller than the distance to the nearest point covers none of them: it does not blur.
    shares[:, side // 2, side // 2] = np.maximum(shares[:, side // 2, side // 2], 1.0)
    return _normal(shares)


def gaussian_kernels(
    along: NDArray[np.float64], across: NDArray[np.float64], angles: NDArray[np.float64], side: int
) -> NDArray[np.float64]:
    """Return sampled Gaussians with two standard deviations, cut off at the square.

    Args:
        along: (k,) standard deviations in pixels along the first axis of the ellipse, positive.
        across: (k,) the same along the second one.
        angles: (k,) of the first axis in radians.
        side: of the kernels in pixels, odd.

    Returns:
        (k, side, side).

    Raises:
        ConfigError: the side is not odd and positive.
    """
    radius = _radius(side)
    at = np.arange(-radius, radius + 1, dtype=np.float64)
    rows, columns = at[None, :, None], at[None, None, :]
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    first = (columns * cosine + rows * sine) / along[:, None, None]
    second = (rows * cosine - columns * sine) / across[:, None, None]
    return _normal(np.exp(-0.5 * (first**2 + second**2)))


def motion_kernel(rng: Rng, side: int, length: float) -> NDArray[np.float64]:
    """Draw one kernel (side, side) of camera shake with a path of ``length`` pixels: `motion_kernels`."""
    kernel: NDArray[np.float64] = motion_kernels(rng, side, np.array([float(length)]))[0]
    return kernel


def defocus_kernel(radius: float, side: int) -> NDArray[np.float64]:
    """Return one disk (side, side) with a radius in pixels: `defocus_kernels`."""
    kernel: NDArray[np.float64] = defocus_kernels(np.array([float(radius)]), side)[0]
    return kernel


def _radius(side: int) -> int:
    if side < 1 or side % 2 == 0:
        raise ConfigError(f"the side of a blur kernel is odd and positive, got {side}", where="kernels")
    return side // 2


def _normal(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = kernels / kernels.sum(axis=(1, 2), keepdims=True)
    return scaled
