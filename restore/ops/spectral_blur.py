"""Reads the blur of an image off its spectrum: a disk or a Gaussian, or that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clearsight.restore.ops.log_spectrum import FLOORS, SLOPES, log_power, middle
from clearsight.restore.ops.psf import DiskKernel, GaussianKernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGES = np.arange(0.02, 0.5, 1 / 160)
"""Rings of frequencies, in cycles per pixel. Below them, a photograph's spectrum is that of its subject."""
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
SHARP = np.stack([(CENTRES / 0.1) ** -slope for slope in SLOPES])
"""Spectra of sharp photographs, (slopes, rings)."""
GRID = 256
"""Side of the grid of frequencies on which kernels are known."""
RADII = tuple(float(radius) for radius in np.arange(1.5, 15.01, 0.25))
SIGMAS = tuple(float(sigma) for sigma in np.geomspace(0.8, 7.0, 23))
"""Disks and Gaussians that are looked for, in pixels."""


class FoundBlur(NamedTuple):
    """The blur that explains a spectrum best.

    Attributes:
        kernel: None: none does better than no blur.
        misfit_ratio: how many times the squared misfit without a blur is that with it; 1 for None.
    """

    kernel: DiskKernel | GaussianKernel | None
    misfit_ratio: float


def spectral_blur(luma: NDArray[np.floating]) -> FoundBlur:
    """Look for the disk or Gaussian whose response shows in the spectrum of an image.

    The power spectrum, averaged over rings as logarithms, is compared with ``|H(f)|^2 / f^b + n`` for every
    kernel's response H, falling powers b and noise n. A disk's rings of zeros (Cannon 1976) survive noise and
    JPEG compression; a Gaussian shows as a fall that no photograph has.

    Args:
        luma: (h, w) in [0, 1].
    """
    seen = ring_spectrum(luma)
    if seen is None:
        return FoundBlur(None, 1.0)
    least = best_misfits(seen)
    best = int(least.argmin())
    return FoundBlur(_models().kernels[best], float(least[0] / max(least[best], 1e-12)))


class RingSpectrum(NamedTuple):
    """The mean logarithm of an image's power in every ring, and the share of the frequencies there."""

    logs: NDArray[np.float64]
    share: NDArray[np.float64]

    def misfits(self, models: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the squared misfit (m,) of models (m, rings), each at the brightness that fits best."""
        away = self.logs[None] - models
        return np.asarray((self.share * away**2).sum(1) - (self.share * away).sum(1) ** 2)


def ring_spectrum(luma: NDArray[np.floating]) -> RingSpectrum | None:
    """Return the spectrum of an image (h, w); None of one that is too small or shows nothing."""
    seen = middle(luma)
    if seen is None:
        return None
    rings = _rings(*seen.shape)
    return RingSpectrum(rings.mean(log_power(seen)), rings.counts / rings.counts.sum())


def best_misfits(seen: RingSpectrum) -> NDArray[np.float64]:
    """Return the least squared misfit of each kernel that is looked for; the first is that of no blur."""
    models = _models()
    return np.asarray(seen.misfits(models.logs).reshape(len(models.kernels), -1).min(axis=1))


@dataclass(frozen=True)
class _Rings:
    """Which ring each frequency of an image's half spectrum lies in, and how many lie in each."""

    inside: NDArray[np.bool_]
    number: NDArray[np.int64]
    counts: NDArray[np.float64]

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over each ring; 0 for empty ones, whose count is 0."""
        total = np.bincount(self.number, weights=values[self.inside], minlength=len(self.counts))
        return total / np.maximum(self.counts, 1.0)


@lru_cache(maxsize=16)
def _rings(high: int, wide: int) -> _Rings:
    radius = np.hypot(np.fft.fftfreq(high)[:, None], np.fft.rfftfreq(wide)[None])
    number = np.digitize(radius, EDGES) - 1
    inside = (number >= 0) & (number < len(EDGES) - 1)
    counts = np.bincount(number[inside], minlength=len(EDGES) - 1).astype(np.float64)
    return _Rings(inside, number[inside], counts)


@dataclass(frozen=True)
class _Models:
    """Spectra (kernels * slopes * floors, rings) as logarithms; the first kernel is none."""

    kernels: tuple[DiskKernel | GaussianKernel | None, ...]
    logs: NDArray[np.float64]


@cache
def _models() -> _Models:
    kernels = (
        None,
        *(DiskKernel(radius=radius) for radius in RADII),
        *(GaussianKernel(sigma=sigma) for sigma in SIGMAS),
    )
    floors = np.asarray(FLOORS)[None, :, None]
    logs = [np.log(_passed(kernel) * SHARP[:, None] + floors).reshape(-1, len(CENTRES)) for kernel in kernels]
    return _Models(kernels, np.concatenate(logs))


def _passed(kernel: DiskKernel | GaussianKernel | None) -> NDArray[np.float64]:
    """Return the share of the power that a kernel lets pass in each ring."""
    if kernel is None:
        return np.ones(len(EDGES) - 1)
    taps = kernel.taps()
    placed = np.zeros((GRID, GRID))
    placed[: taps.shape[0], : taps.shape[1]] = taps
    return _rings(GRID, GRID).mean(np.abs(np.fft.rfft2(placed)) ** 2)
