"""Reads the motion blur of an image off its spectrum: direction, length and course, or that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from clearsight.restore.ops.log_spectrum import FLOORS, SLOPES, log_power, middle
from clearsight.restore.ops.psf import FadingMotionKernel, MotionKernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

RADII = np.linspace(0.03, 0.4, 31)
"""Borders of the rings of frequencies, in cycles per pixel. Below them, a photograph's spectrum is that of
its subject; above them, noise and the pixels' raster tell more than the motion."""
DIRECTIONS = 72
"""Sectors of half the circle."""
LENGTHS = (5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.5, 13.0, 15.0, 17.0, 19.5, 22.0, 25.0, 29.0, 33.0)
SIGMAS = (3.0, 4.0, 5.0, 6.5, 8.0, 10.0, 12.0, 15.0, 19.0)
"""Motions at constant speed and fading ones that are looked for, in pixels."""
POINTS = (-0.4, 0.0, 0.4)
"""Where in a bin a model's spectrum is computed, in bins from its middle."""
PADDING = 48
"""Pixels that are mirrored at the border for a trial."""
INSIDE = slice(PADDING + 8, -PADDING - 8)
"""What is judged: the border's pixels are left out."""
LOPSIDED = 0.015
"""Difference of the logarithms of the densities both ways from which on a motion has faded."""
STEADY = 0.8
"""Misfit of constant speed, in that of fading, below which the motion cannot have faded."""
SURE, SURE_OF_FADING = 2.2, 1.25
"""How many times better than no motion a motion at constant speed, and one that is seen to fade, must explain
the spectrum. Of 700 training photographs (500 of Imagenette, 200 of BSDS500) none is taken for moved."""
FASTEST, TABLE = 0.75, 3001
"""Greatest frequency along a motion in cycles per pixel, and the number of those at which it is computed."""
EXPONENT = 0.6
"""Of the derivatives whose sparsity is measured; about that of a photograph's own distribution."""


def spectral_motion(luma: NDArray[np.floating]) -> MotionKernel | FadingMotionKernel | None:
    """Look for straight motion, at constant speed or fading, in the spectrum of an image.

    Motion along u multiplies the power spectrum by a function of f.u alone: a ridge remains where f.u = 0.
    The power, averaged as logarithms over rings and sectors, is compared with ``|H(f.u)|^2 / f^b + n`` for
    every kernel, direction, falling power b and noise n, all directions at once by a circular correlation.
    The power tells nothing of phases. So the fading motion is undone on trial both ways along its line: the
    derivatives of natural images are sparse (Fergus et al. 2006), and a filter for the wrong way leaves
    echoes, which make them dense. Where both ways are alike, the motion did not fade.

    Args:
        luma: (h, w) in [0, 1].

    Returns:
        The motion; None where it does not explain the spectrum much better than none, and of images that are
        too small or show nothing.
    """
    seen = middle(luma)
    if seen is None:
        return None
    still, lines, fading = np.split(_misfits(seen), [1, 1 + len(LENGTHS)])
    # Of most images this is all: they did not move.
    if still.min() < SURE_OF_FADING * min(fading.min(), lines.min()):
        return None
    number, angle = _least(fading)
    faded = FadingMotionKernel(sigma=SIGMAS[number], angle=angle)
    there, back = _densities(seen, faded)
    steady = lines.min() < STEADY * fading.min()
    if steady or abs(np.log(there / back)) < LOPSIDED:
        number, angle = _least(lines)
        return (
            MotionKernel(length=LENGTHS[number], angle=angle) if still.min() >= SURE * lines.min() else None
        )
    if still.min() < SURE_OF_FADING * fading.min():
        return None
    return faded if there < back else FadingMotionKernel(sigma=faded.sigma, angle=angle + 180.0)


def _least(misfits: NDArray[np.float64]) -> tuple[int, float]:
    """Return which kernel has the least misfit, and its angle in degrees, between the sectors' middles."""
    kernel, sector = np.unravel_index(int(misfits.argmin()), misfits.shape)
    before, least, after = (misfits[kernel, (sector + step) % DIRECTIONS] for step in (-1, 0, 1))
    bend = before - 2.0 * least + after
    between = 0.5 * (before - after) / bend if bend > 0.0 else 0.0
    # Rows count downwards, angles upwards.
    return int(kernel), float(-(sector + between) * 180.0 / DIRECTIONS)


def _densities(luma: NDArray[np.float64], kernel: FadingMotionKernel) -> tuple[float, float]:
    """Return how dense the derivatives along a motion, and one the other way, are where it is undone."""
    padded = np.pad(luma, PADDING, mode="reflect")
    h, w = padded.shape
    rows, columns = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    squared = rows**2 + columns**2
    turn = np.radians(kernel.angle)
    along = columns * np.cos(turn) - rows * np.sin(turn)
    response = _response(kernel, along)
    # Derivatives of the image smoothed by a pixel: those between neighbours are noise.
    derivatives = np.fft.rfft2(padded) * 2j * np.pi * along * np.exp(-2.0 * np.pi**2 * squared)
    derivatives /= np.abs(response) ** 2 + squared
    there, back = (
        np.abs(np.fft.irfft2(derivatives * inverse, s=(h, w)))[INSIDE, INSIDE]
        for inverse in (np.conj(response), response)
    )
    return _density(there), _density(back)


def _density(sizes: NDArray[np.float64]) -> float:
    """Return a norm of the derivatives that is small where a few are large, whatever the contrast."""
    # Where nothing changes along the motion, both ways are alike.
    least = 1e-30
    return float((least + (sizes**EXPONENT).mean()) / (least + (sizes**2).mean()) ** (EXPONENT / 2.0))


def _misfits(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least squared misfit of every kernel (first: none) for every direction."""
    bins = _bins(*luma.shape)
    found = bins.mean(log_power(luma))
    found -= (bins.share * found).sum()
    models = _models()
    match = models.correlated(models.spectra, bins.share * found)
    misfit = (bins.share * found**2).sum() - 2.0 * match + bins.spread
    return np.asarray(misfit.reshape(len(models.kernels), -1, DIRECTIONS).min(axis=1))


@dataclass(frozen=True)
class _Bins:
    """Rings and sectors of an image's half spectrum.

    Attributes:
        inside: which frequencies lie in a bin.
        number: of the bin of each that does.
        counts: frequencies of each bin, (rings, sectors).
        share: of all of them.
        spread: variance of every model over the frequencies, (models, directions).
    """

    inside: NDArray[np.bool_]
    number: NDArray[np.int64]
    counts: NDArray[np.float64]
    share: NDArray[np.float64]
    spread: NDArray[np.float64]

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over each bin; 0 for empty ones, whose share is 0."""
        total = np.bincount(self.number, weights=values[self.inside], minlength=self.counts.size)
        return np.asarray(total.reshape(self.counts.shape) / np.maximum(self.counts, 1.0))


@lru_cache(maxsize=16)
def _bins(high: int, wide: int) -> _Bins:
    rows, columns = np.fft.fftfreq(high)[:, None], np.fft.rfftfreq(wide)[None]
    ring = np.digitize(np.hypot(rows, columns), RADII) - 1
    sector = np.rint(np.degrees(np.arctan2(rows, columns)) * DIRECTIONS / 180.0).astype(np.int64) % DIRECTIONS
    inside = (ring >= 0) & (ring < len(RADII) - 1)
    number = (ring * DIRECTIONS + sector)[inside]
    shape = (len(RADII) - 1, DIRECTIONS)
    counts = np.bincount(number, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
    share = counts / counts.sum()
    models = _models()
    spread = models.correlated(models.squares, share) - models.correlated(models.spectra, share) ** 2
    return _Bins(inside, number, counts, share, spread)


@dataclass(frozen=True)
class _Models:
    """Logarithmic spectra of motion to the right; the first kernel is none.

    Attributes:
        spectra: of the kernels * slopes * floors, transformed over the sectors: (frequencies of the circle,
            models, rings), conjugate.
        squares: their squares, likewise.
    """

    kernels: tuple[MotionKernel | FadingMotionKernel | None, ...]
    spectra: NDArray[np.complex64]
    squares: NDArray[np.complex64]

    def correlated(self, models: NDArray[np.complex64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of values (rings, sectors) times each model turned to each direction."""
        circle = np.fft.rfft(values, axis=1).T[:, :, None].astype(np.complex64)
        return np.asarray(np.fft.irfft((models @ circle)[:, :, 0], n=DIRECTIONS, axis=0).T, np.float64)


@cache
def _models() -> _Models:
    kernels = (
        None,
        *(MotionKernel(length=length) for length in LENGTHS),
        *(FadingMotionKernel(sigma=sigma) for sigma in SIGMAS),
    )
    rings = (RADII[:-1] + RADII[1:]) / 2.0
    shape = (len(SLOPES) * len(FLOORS), len(rings), DIRECTIONS)
    logs = np.zeros((len(kernels), *shape))
    for outwards, around in product(POINTS, POINTS):
        radius = rings + outwards * (RADII[1] - RADII[0])
        turn = (np.arange(DIRECTIONS) + around) * np.pi / DIRECTIONS
        sharp = np.stack([(radius / 0.1) ** -slope for slope in SLOPES])[:, None, :, None]
        floors = np.asarray(FLOORS)[None, :, None, None]
        for number, kernel in enumerate(kernels):
            passed = _passed(kernel, radius[:, None] * np.cos(turn))
            logs[number] += np.log(passed * sharp + floors).reshape(shape)
    logs = logs.reshape(-1, *shape[1:]) / len(POINTS) ** 2
    return _Models(kernels, *(_transformed(each) for each in (logs, logs**2)))


def _transformed(logs: NDArray[np.float64]) -> NDArray[np.complex64]:
    circle = np.conj(np.fft.rfft(logs, axis=2)).astype(np.complex64)
    return np.ascontiguousarray(circle.transpose(2, 0, 1))


def _passed(kernel: MotionKernel | FadingMotionKernel | None, f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the power that a kernel lets pass at frequencies along it."""
    if kernel is None:
        return np.ones_like(f)
    if isinstance(kernel, MotionKernel):
        return np.asarray(np.sinc(kernel.length * f) ** 2)
    return np.asarray(np.abs(_response(kernel, f)) ** 2)


def _response(kernel: FadingMotionKernel, f: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the response at frequencies along the motion, between those of a table."""
    return np.asarray(np.interp(f, *_table(kernel.sigma)))


@lru_cache(maxsize=len(SIGMAS))
def _table(sigma: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    known = np.linspace(-FASTEST, FASTEST, TABLE)
    weights = FadingMotionKernel(sigma=sigma).weights()
    return known, np.exp(-2j * np.pi * known[:, None] * np.arange(len(weights))) @ weights
