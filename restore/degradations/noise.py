"""Noise of sensors and of developed photographs, with its own strength for each image.

All functions draw from a named stream. ``repeatable`` draws on the CPU, so that every device gets the
same noise; otherwise the images' device draws, which is faster but repeatable only on the same kind of
device. Nothing is clipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng

GAMMA = 2.2
"""Exponent between encoded values and light."""
DARKEST = 0.01
"""Value before the S-curve below which the noise stays the same: the curve's slope is infinite at black."""


def normal(shape: tuple[int, ...], like: Tensor, rng: Rng, *, repeatable: bool = False) -> Tensor:
    """Return standard normal numbers with the type and the device of ``like``."""
    device = "cpu" if repeatable else str(like.device)
    numbers = torch.randn(shape, generator=rng.torch(device), device=device)
    return numbers.to(like)


def gaussian_noise(
    images: Tensor, sigma: Tensor, rng: Rng, *, correlation: Tensor | None = None, repeatable: bool = False
) -> Tensor:
    """Add white Gaussian noise.

    Args:
        images: (n, c, h, w).
        sigma: (n, 1, 1, 1), standard deviation for values in [0, 1].
        rng: stream of the noise.
        correlation: (n, 1, 1, 1) in [0, 1], between any two channels of an image: 0 colour noise, 1 grey
            noise. None is 0 everywhere.
        repeatable: draw on the CPU.

    Returns:
        (n, c, h, w).
    """
    noise = normal(tuple(images.shape), images, rng, repeatable=repeatable)
    if correlation is not None:
        count, _, height, width = images.shape
        shared = normal((count, 1, height, width), images, rng.at("shared"), repeatable=repeatable)
        noise = _mixed(shared, noise, correlation.to(images))
    return images + sigma.to(images) * noise


def poisson_noise(images: Tensor, level: Tensor, rng: Rng, *, repeatable: bool = False) -> Tensor:
    """Replace each value by a scaled count of photons.

    Args:
        images: (n, c, h, w), not below 0.
        level: (n, 1, 1, 1), positive: standard deviation at white. A value x gets ``level sqrt(x)``, for
            white stands for ``1 / level ** 2`` photons.
        rng: stream of the counts.
        repeatable: draw on the CPU.

    Returns:
        (n, c, h, w), not below 0.
    """
    photons = level.to(images) ** -2
    expected = images * photons
    if repeatable:
        expected = expected.cpu()
    counts = torch.poisson(expected, generator=rng.torch(str(expected.device)))
    return counts.to(images) / photons


def grain(
    shape: tuple[int, int, int, int], width: Tensor, like: Tensor, rng: Rng, *, repeatable: bool = False
) -> Tensor:
    """Return fields of Gaussian noise that is smooth over some pixels, as demosaicing and smoothing leave it.

    White noise is filtered with a Gaussian in the Fourier domain, so a field wraps around at the edges.

    Args:
        shape: (n, c, h, w).
        width: (n, 1, 1, 1), standard deviation of the Gaussian in pixels; 0 leaves white noise. Two pixels
            at a distance d have the correlation ``exp(-(d / (2 width)) ** 2)``.
        like: gives type and device.
        rng: stream of the noise.
        repeatable: draw on the CPU.

    Returns:
        (n, c, h, w), each value with mean 0 and variance 1.
    """
    height, columns = shape[2:]
    down = torch.fft.fftfreq(height, device=like.device, dtype=like.dtype)[:, None]
    along = torch.fft.rfftfreq(columns, device=like.device, dtype=like.dtype)
    pass_band = torch.exp(-2 * (torch.pi * width.to(like)) ** 2 * (down**2 + along**2))
    # The variance of the filtered field is the mean of the squared transfer function over all frequencies,
    # of which a real transform keeps one half.
    twice = torch.full_like(along, 2.0)
    twice[0] = 1.0
    if columns % 2 == 0:
        twice[-1] = 1.0
    power = (pass_band.square() * twice).sum(dim=(2, 3), keepdim=True) / (height * columns)
    white = torch.fft.rfft2(normal(shape, like, rng, repeatable=repeatable))
    field: Tensor = torch.fft.irfft2(white * (pass_band * power.rsqrt()), s=(height, columns))
    return field


def camera_noise(
    images: Tensor,
    level: Tensor,
    rng: Rng,
    *,
    fine: Tensor,
    coarse: Tensor,
    correlation: Tensor,
    read_noise: Tensor,
    repeatable: bool = False,
) -> Tensor:
    """Add the noise of a developed photograph: signal-dependent, coloured, in grains and blotches.

    Shot and read noise of a linear sensor (variance proportional to light, plus a constant) are carried
    through the camera's tone curve to first order. As in Brooks et al., "Unprocessing images for learned raw
    denoising", 2019, that curve is a gamma of 2.2 followed by ``3 x^2 - 2 x^3``. The noise is then greatest
    at dark mid-greys and vanishes at white.

    Args:
        images: (n, c, h, w) in [0, 1], developed.
        level: (n, 1, 1, 1), standard deviation at mid-grey (0.5), for values in [0, 1].
        rng: stream of the noise.
        fine: (n, 1, 1, 1), width of the grain in pixels of the part that all channels share: `grain`.
        coarse: (n, 1, 1, 1), the same for the part that is independent between channels, the colour blotches.
        correlation: (n, 1, 1, 1) in [0, 1], between channels: the share of the variance that is common.
        read_noise: (n, 1, 1, 1), variance of the read noise over that of the shot noise at white.
        repeatable: draw on the CPU.

    Returns:
        (n, c, h, w).
    """
    count, channels, height, width = images.shape
    shared = grain((count, 1, height, width), fine, images, rng.at("fine"), repeatable=repeatable)
    own = grain((count, channels, height, width), coarse, images, rng.at("coarse"), repeatable=repeatable)
    spread = tone_spread(images, read_noise.to(images))
    middle = tone_spread(images.new_full((1, 1, 1, 1), 0.5), read_noise.to(images))
    return images + level.to(images) * (spread / middle) * _mixed(shared, own, correlation.to(images))


def tone_spread(images: Tensor, read_noise: Tensor) -> Tensor:
    """Return how strong a sensor's noise is after the tone curve, up to a factor: `camera_noise`."""
    x = images.clamp(0.0, 1.0)
    encoded = (0.5 - torch.sin(torch.asin(1.0 - 2.0 * x) / 3.0)).clamp_min(DARKEST)
    # light = encoded ** gamma, and the slope of the curve is 6 encoded (1 - encoded) encoded / (gamma light);
    # one power serves both.
    power = encoded ** (GAMMA - 2.0)
    return (encoded.square() * power + read_noise).sqrt() * (1.0 - encoded) / power * (6.0 / GAMMA)


def _mixed(shared: Tensor, own: Tensor, correlation: Tensor) -> Tensor:
    return correlation.sqrt() * shared + (1.0 - correlation).sqrt() * own
