"""Linear light: the sRGB curve, the gain that makes up for a short exposure, and the noise it raises."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.restore.ops.tone import luma

TARGET = 0.26
"""Root mean square of the linear luma of a well-exposed photograph: the geometric mean over every fourth of
the 400 BSDS500 photographs."""
CERTAIN = 1.5
"""Stops from which an image is treated as fully underexposed; those of BSDS500 spread by 0.6."""
HEADROOM = 2.0
"""Linear light (white is 1) at which amplified values are clipped: a network can see too high a gain."""
STEP = 1.0 / (255.0 * 12.0**0.5)
"""Standard deviation of the rounding to 8 bits."""


def to_linear(x: Tensor) -> Tensor:
    """Return the linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def from_linear(x: Tensor) -> Tensor:
    """Return the sRGB values of linear light, the inverse of `to_linear`; it is extended smoothly above 1."""
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(0.0031308) ** (1.0 / 2.4) - 0.055)


def exposure_gain(light: Tensor, most: float) -> Tensor:
    """Estimate by how much less light each image got than a well-exposed one.

    The root mean square of the luma, brought to `TARGET`, estimated the exposure of darkened BSDS500
    photographs to 0.63 stops; the mean to 0.77 and the 95th percentile to 0.67. Higher power means do
    better (the fourth: 0.51), but a lamp or two dominate them in a night scene. Images near the target stay
    as they are: the stops are weighted by a smooth step from 0 to `CERTAIN`.

    Args:
        light: (n, c, h, w), linear light in [0, 1].
        most: greatest gain.

    Returns:
        (n, 1, 1, 1), from 1 to ``most``; differentiable almost everywhere, with finite gradients.
    """
    power = luma(light).square().mean(dim=(1, 2, 3), keepdim=True)
    nepers = 0.5 * (TARGET**2 / power.clamp_min((TARGET / most) ** 2)).log().clamp_min(0.0)
    share = (nepers / (CERTAIN * log(2.0))).clamp_max(1.0)
    return (nepers * share * share * (3.0 - 2.0 * share)).exp()


def raised_noise(light: Tensor, gain: Tensor, *, full_well: float, read_noise: float) -> Tensor:
    """Return the noise level of an amplified image, from what is known of its sensor.

    The variance of an electron count is its mean; read-out and rounding to 8 bits add theirs. The sRGB
    curve's slope at the amplified value turns the deviation into one of sRGB values; it is the slope of the
    chord over one deviation each way, for the tangent at black is far too steep. Means over about 6x6 pixels
    stand for the unknown true values.

    Args:
        light: (n, c, h, w), linear light before amplification; even height and width.
        gain: (n, 1, 1, 1).
        full_well: electrons that value 1 stands for.
        read_noise: standard deviation of the read noise in electrons.

    Returns:
        (n, 1, h / 2, w / 2), standard deviation for sRGB values in [0, 1], the quadratic mean over channels.
    """
    mean = functional.avg_pool2d(light, 2)
    mean = functional.avg_pool2d(mean, 3, stride=1, padding=1, count_include_pad=False)
    rounding = STEP * _slope_to_linear(mean)
    variance = mean / full_well + (read_noise / full_well) ** 2 + rounding.square()
    spread = gain * variance.sqrt()
    middle = (gain * mean).clamp_max(HEADROOM)
    chord = from_linear(middle + spread) - from_linear((middle - spread).clamp_min(0.0))
    return (0.25 * chord.square().mean(dim=1, keepdim=True)).sqrt()


def _slope_to_linear(light: Tensor) -> Tensor:
    """Return d(light) / d(sRGB value) at linear light."""
    return torch.where(
        light <= 0.0031308, 1.0 / 12.92, (2.4 / 1.055) * light.clamp_min(0.0031308) ** (1.4 / 2.4)
    )
