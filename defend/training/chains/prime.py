"""PRIME versions of a batch: chains of random filters, displacements and colour curves, mixed.

Modas et al. 2022, "PRIME: A Few Primitives Can Boost Robustness to Common Corruptions" (arXiv:2112.13547).
The distributions are those of the paper; the numbers come from a stream of each image's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from clearsight.data.contract.rng import Rng

KERNEL = 3
"""Side of the random filter in pixels."""
WAVES, HIGHEST = 20, 500
"""Sine waves of a colour curve, of neighbouring frequencies, and the highest frequency (in half periods)."""
CUTS = (2, 10)
"""Lowest and highest cut-off of a displacement, in half periods along the image."""
LEVELS = 256
"""Grey levels at which a colour curve is computed: those that an image of 8 bits has."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Strengths:
    """How strong the families are: see `clearsight.defend.training.prime.Prime`."""

    spectral: float
    spatial: float
    colour: float


@dataclass
class Draws:
    """Random numbers of one place in the chains of m images, of every family: only one of them is used.

    Attributes:
        taps: (m, 9), what is added to the identity filter.
        cuts: (m,), cut-off of the displacement, in half periods.
        amplitudes: (m,), 0 to 1, share of the largest displacement.
        modes: (m, 2, 10, 10), coefficients of the displacement's sine modes.
        lowest: (m,), the colour curve's lowest frequency less 1, in half periods.
        waves: (m, 3, 20), coefficients of its sine waves.
    """

    taps: list[Floats] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    amplitudes: list[float] = field(default_factory=list)
    modes: list[Floats] = field(default_factory=list)
    lowest: list[int] = field(default_factory=list)
    waves: list[Floats] = field(default_factory=list)

    def add(self, stream: np.random.Generator, strengths: Strengths) -> None:
        """Draw for one more image."""
        self.taps.append(_normal(stream, KERNEL**2) * stream.uniform(0.0, strengths.spectral))
        self.cuts.append(int(stream.integers(CUTS[0], CUTS[1] + 1)))
        self.amplitudes.append(float(stream.uniform()))
        self.modes.append(_normal(stream, 2, CUTS[1], CUTS[1]))
        self.lowest.append(int(stream.integers(HIGHEST - WAVES + 1)))
        variance = stream.uniform(0.0, strengths.colour)
        self.waves.append(_normal(stream, 3, WAVES) * np.float32(variance**0.5))


def prime_versions(
    images: Tensor,
    ids: tuple[str, ...],
    rng: Rng,
    strengths: Strengths,
    *,
    copies: int = 2,
    width: int = 3,
    depth: int = 3,
) -> tuple[Tensor, ...]:
    """Return ``copies`` PRIME versions of a batch.

    Args:
        images: float (n, 3, h, w) in [0, 1].
        ids: names of the images; the versions of an image depend on its name, not on its place.
        rng: stream of the step.
        strengths: of the families.
        copies: number of versions.
        width: chains that are mixed.
        depth: longest chain.

    Returns:
        ``copies`` tensors shaped like ``images``, in [0, 1].
    """
    streams = [rng.at("prime", name).numpy() for name in ids]
    return tuple(_version(images, streams, strengths, width, depth) for _ in range(copies))


def _version(
    images: Tensor, streams: list[np.random.Generator], strengths: Strengths, width: int, depth: int
) -> Tensor:
    weights = torch.from_numpy(_stacked([stream.dirichlet(np.ones(width)) for stream in streams])).to(images)
    share = torch.from_numpy(_stacked([stream.uniform() for stream in streams])).to(images)
    mix = torch.zeros_like(images)
    for number in range(width):
        chain = images
        lengths = np.array([int(stream.integers(1, depth + 1)) for stream in streams])
        for place in range(depth):
            families = np.array([int(stream.integers(len(FAMILIES))) for stream in streams])
            draws = Draws()
            for stream in streams:
                draws.add(stream, strengths)
            chain = _applied(chain, np.where(place < lengths, families, -1), draws, strengths)
        mix = mix + weights[:, number, None, None, None] * chain
    share = share[:, None, None, None]
    return ((1.0 - share) * images + share * mix).clamp(0.0, 1.0)


def _applied(images: Tensor, families: NDArray[np.int64], draws: Draws, strengths: Strengths) -> Tensor:
    """Return the images after one operation of a family each; -1 leaves an image as it is."""
    out = images.clone()
    for number, apply in enumerate(FAMILIES):
        rows = np.flatnonzero(families == number)
        if len(rows):
            places = torch.from_numpy(rows).to(images.device)
            out[places] = apply(images[places], rows, draws, strengths).clamp(0.0, 1.0)
    return out


def filtered(images: Tensor, taps: Tensor) -> Tensor:
    """Return images (m, c, h, w) after a filter each: the identity plus ``taps`` (m, 9); edges mirrored."""
    m, c, height, width = images.shape
    kernels = taps.reshape(m, 1, KERNEL, KERNEL).clone()
    kernels[:, :, KERNEL // 2, KERNEL // 2] += 1.0
    padded = pad(images, (KERNEL // 2,) * 4, mode="reflect").reshape(1, m * c, height + 2, width + 2)
    return conv2d(padded, kernels.repeat_interleave(c, 0), groups=m * c).view(m, c, height, width)


def displaced(images: Tensor, modes: Tensor, cuts: Tensor, amplitudes: Tensor, largest: float) -> Tensor:
    """Return images (m, c, h, w), moved by a smooth random field each.

    The field is a sum of sine modes (i, j) within the cut-off, with variances 1 / (i^2 + j^2), zero at the
    border (Petrini et al. 2021, "Relative stability toward diffeomorphisms indicates performance"). Its root
    mean square is a share of the largest one: ``largest``, or less where the field would fold.

    Args:
        images: the images.
        modes: (m, 2, k, k) standard normal.
        cuts: (m,) cut-off in half periods.
        amplitudes: (m,) in [0, 1].
        largest: root mean square of the displacement, as a share of the side.
    """
    height, width = images.shape[2:]
    order = torch.arange(1, modes.shape[2] + 1, device=images.device)
    radius = (order[:, None] ** 2 + order**2).to(images).sqrt()
    inside = radius <= cuts.to(images)[:, None, None] + 0.5
    coefficients = modes * (inside / radius)[:, None]
    rows, columns = (
        torch.sin(pi * order[:, None] * (torch.arange(n, device=images.device) + 0.5) / n).to(images)
        for n in (height, width)
    )
    field_of = torch.einsum("mdij,ih,jw->mdhw", coefficients, rows, columns)
    spread = field_of.pow(2).mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    # Without folds the typical slope stays below 1: rms * pi * cut / 2 is that slope, up to a logarithm.
    unfolded = 1.0 / (pi * cuts.to(images) / 2.0 * (1.0 + cuts.to(images).log()))
    size = amplitudes.to(images) * unfolded.clamp(max=largest)
    shifts = field_of / spread * size[:, None, None, None]
    axes = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=images.device) for n in (height, width))
    y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x + 2 * shifts[:, 0], y + 2 * shifts[:, 1]], dim=-1).to(images)
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recoloured(images: Tensor, waves: Tensor, lowest: Tensor) -> Tensor:
    """Return images (m, 3, h, w) after a random smooth curve of each channel's values, at 256 levels.

    Args:
        images: in [0, 1].
        waves: (m, 3, k) coefficients of k sine waves.
        lowest: (m,) frequency of the first of them less 1, in half periods over [0, 1]; they are 1 apart.
    """
    values = torch.linspace(0.0, 1.0, LEVELS, device=images.device)
    frequencies = lowest.to(images)[:, None] + torch.arange(1, waves.shape[2] + 1, device=images.device)
    sines = torch.sin(pi * frequencies[:, :, None] * values).to(images)
    curves = values.to(images) + torch.einsum("mck,mkl->mcl", waves, sines)
    levels = (images * (LEVELS - 1)).round().long()
    return curves.gather(2, levels.flatten(2)).view_as(images)


def _spectral(images: Tensor, rows: NDArray[np.int64], draws: Draws, strengths: Strengths) -> Tensor:
    return filtered(images, _chosen(draws.taps, rows).to(images))


def _spatial(images: Tensor, rows: NDArray[np.int64], draws: Draws, strengths: Strengths) -> Tensor:
    modes, cuts = _chosen(draws.modes, rows).to(images), _chosen(draws.cuts, rows)
    amplitudes = _chosen(draws.amplitudes, rows)
    return displaced(images, modes, cuts.to(images.device), amplitudes.to(images.device), strengths.spatial)


def _colour(images: Tensor, rows: NDArray[np.int64], draws: Draws, strengths: Strengths) -> Tensor:
    waves, lowest = _chosen(draws.waves, rows).to(images), _chosen(draws.lowest, rows)
    return recoloured(images, waves, lowest.to(images.device))


Apply = Callable[[Tensor, NDArray[np.int64], Draws, Strengths], Tensor]
FAMILIES: tuple[Apply, ...] = (_spectral, _spatial, _colour)
"""The three families, in the order of the draws."""


def _chosen(values: list[Any], rows: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(_stacked([values[row] for row in rows]))


def _stacked(values: list[Any]) -> Floats:
    return np.stack([np.asarray(value, np.float32) for value in values])


def _normal(stream: np.random.Generator, *shape: int) -> Floats:
    return stream.standard_normal(shape, dtype=np.float32)
