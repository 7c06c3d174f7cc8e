"""Reads the zoom blur of an image off its spectrum along rays from its middle, or that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clearsight.restore.ops.log_spectrum import middle

if TYPE_CHECKING:
    from numpy.typing import NDArray

INNER = 0.1
"""Radius at which the rays begin, in the greatest that lies in the image."""
DENSITY = 1.0
"""Rays per pixel of the outermost circle."""
TOGETHER = 6
"""Neighbouring rays whose spectra are averaged before the logarithm."""
DIM = 0.1
"""Share of the mean power of all rays that is added to a ray's own, by which its spectrum is divided."""
LOWEST, HIGHEST = 0.01, 0.3
"""Frequencies along the rays that are looked at, in cycles per sample (a pixel of the outermost circle)."""
DEGREE = 4
"""Of the polynomial in the logarithm of the frequency that stands for the spectrum of a sharp photograph."""
FACTORS = tuple(float(factor) for factor in np.geomspace(1.06, 1.6, 48))
"""Greatest enlargements that are looked for."""
STILL = (0.0, 0.08)
"""Shares of the exposure, before the zoom, that are looked for."""
FLOORS = (1e-3, 1e-2, 3e-2)
"""Power of the noise, in that of the sharp photograph."""


class FoundZoom(NamedTuple):
    """The zoom that explains the ripples of a spectrum best.

    Attributes:
        factor: enlargement at the end of the exposure, > 1; it was 1 at the beginning.
        still: share of the exposure before the zoom began.
        ripples: size of the zoom's ripples in the logarithmic spectrum, of all frequencies together.
        slope_ratio: root mean square slope along the rays, in that across them.
    """

    factor: float
    still: float
    ripples: float
    slope_ratio: float


def spectral_zoom(luma: NDArray[np.floating]) -> FoundZoom | None:
    """Look for the blur of a lens that zoomed, about the middle of the image, during the exposure.

    Where the coordinate along a ray is the logarithm of the radius, enlarging is shifting, so that a zoom is
    straight motion at constant speed, alike everywhere. It leaves ripples in the spectrum along the rays
    (the sinc of Cannon 1976), whose distance tells the factor. The mean logarithmic spectrum of the rays,
    less the polynomial that fits it best, is projected on that of every factor, treated alike. A zoom also
    makes slopes along the rays smaller than those across them.

    Defocus and motion leave ripples, too: look for those first.

    Args:
        luma: (h, w) in [0, 1].

    Returns:
        The best factor; None of images that are too small or show nothing.
    """
    seen = middle(luma)
    if seen is None:
        return None
    rays = _rays(seen)
    models = _models(rays.shape[1], _radius(seen))
    ripples = models.shapes @ _log_spectrum(rays, models.inside)
    best = int(ripples.argmax())
    slopes = [float(np.sqrt((np.diff(rays, axis=axis) ** 2).mean())) for axis in (0, 1)]
    return FoundZoom(*models.zooms[best], float(ripples[best]), slopes[1] / max(slopes[0], 1e-12))


def _radius(seen: NDArray[np.float64]) -> float:
    return float(min(seen.shape) / 2 - 1)


def _rays(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the image along rays from its middle, (rays, samples), at even steps of the log radius."""
    import cv2

    h, w = seen.shape
    radius = _radius(seen)
    along = radius * np.exp(-np.arange(int(-np.log(INNER) * radius))[::-1] / radius)
    turn = np.arange(int(2.0 * np.pi * radius * DENSITY)) / (radius * DENSITY)
    columns = (w - 1) / 2 + np.outer(np.cos(turn), along)
    rows = (h - 1) / 2 + np.outer(np.sin(turn), along)
    sampled = cv2.remap(
        seen.astype(np.float32), columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_CUBIC
    )
    return np.asarray(sampled, np.float64)


def _log_spectrum(rays: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean logarithmic spectrum of the rays' steps at the frequencies that are looked at."""
    steps = np.diff(rays, axis=1)
    power = np.abs(np.fft.rfft(steps * np.hanning(steps.shape[1]), axis=1)[:, inside]) ** 2
    # Rays count alike, bright or dim, except those that show nothing.
    total = power.mean(axis=1, keepdims=True)
    power = power / (total + DIM * total.mean() + 1e-12)
    groups = len(power) // TOGETHER
    grouped = power[: groups * TOGETHER].reshape(groups, TOGETHER, -1).mean(axis=1)
    return np.asarray(np.log(grouped + 1e-9).mean(axis=0))


@dataclass(frozen=True)
class _Models:
    """What zooms leave in the mean logarithmic spectrum.

    Attributes:
        inside: which frequencies are looked at.
        shapes: (models, frequencies), orthogonal to the polynomials, of length 1.
        zooms: factor and still share of each.
    """

    inside: NDArray[np.bool_]
    shapes: NDArray[np.float64]
    zooms: tuple[tuple[float, float], ...]


@lru_cache(maxsize=16)
def _models(samples: int, radius: float) -> _Models:
    frequency = np.fft.rfftfreq(samples - 1)
    inside = (frequency > LOWEST) & (frequency < HIGHEST)
    seen = frequency[inside]
    scaled = np.log(seen)
    scaled = (scaled - scaled.mean()) / scaled.std()
    smooth, _ = np.linalg.qr(np.vander(scaled, DEGREE + 1))
    shapes, zooms = [], []
    for factor in FACTORS:
        length = np.log(factor) * radius
        moved = np.sinc(length * seen) * np.exp(-1j * np.pi * length * seen)
        for still in STILL:
            passed = np.abs((1.0 - still) * moved + still) ** 2
            for floor in FLOORS:
                shape = np.log(passed + floor)
                shape -= smooth @ (smooth.T @ shape)
                shapes.append(shape / np.linalg.norm(shape))
                zooms.append((factor, still))
    return _Models(inside, np.stack(shapes), tuple(zooms))
