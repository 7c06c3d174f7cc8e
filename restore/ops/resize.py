"""Bicubic resizing with antialiasing, as super-resolution makes its small images."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError

SLOPE = -0.5
"""Keys' a: slope of the kernel at distance one."""
SUPPORT = 4
"""Width of the kernel in pixels of the coarser grid."""


def resize_bicubic(x: Tensor, scale: Fraction | float) -> Tensor:
    """Resize by cubic convolution (Keys 1981, a = -0.5) as MATLAB's ``imresize`` does.

    Pixel centres are aligned and borders mirrored; for scales below 1 the kernel is stretched by 1 / scale,
    which prevents aliasing. Values are neither rounded nor clamped.

    Args:
        x: floats (n, c, h, w).
        scale: output size / input size, above 0; give a `Fraction` for scales such as 1/3.

    Returns:
        (n, c, ceil(h scale), ceil(w scale)).

    Raises:
        ShapeError: x is no float image batch, or the scale is not positive.
    """
    if x.ndim != 4 or not x.is_floating_point() or x.numel() == 0:
        raise ShapeError(f"expects float images (n, c, h, w), got {tuple(x.shape)}", where="resize_bicubic")
    ratio = Fraction(scale).limit_denominator(10**6)
    if ratio <= 0:
        raise ShapeError(f"needs a scale above 0, got {scale}", where="resize_bicubic")
    rows, columns = (_matrix(size, ratio).to(device=x.device, dtype=x.dtype) for size in x.shape[2:])
    return torch.matmul(torch.matmul(rows, x), columns.mT)


def to_8_bit(x: Tensor) -> Tensor:
    """Return values in [0, 1] clamped and rounded to multiples of 1/255, halves upwards, as in a file."""
    return torch.floor(x.clamp(0.0, 1.0) * 255.0 + 0.5) / 255.0


@lru_cache(maxsize=32)
def _matrix(size: int, scale: Fraction) -> Tensor:
    """Return the weights of old pixels in new ones, float64 (ceil(size scale), size); rows sum to 1."""
    fine = min(1.0, float(scale))
    new = torch.arange(math.ceil(size * scale), dtype=torch.float64)
    centre = (new + 0.5) / float(scale) - 0.5
    reach = SUPPORT / fine / 2
    first = torch.floor(centre - reach).to(torch.int64)
    at = first[:, None] + torch.arange(math.ceil(2 * reach) + 2)
    weights = cubic((centre[:, None] - at) * fine)
    weights = weights / weights.sum(dim=1, keepdim=True)
    at = at.remainder(2 * size)
    at = torch.minimum(at, 2 * size - 1 - at)
    return torch.zeros(len(new), size, dtype=torch.float64).scatter_add_(1, at, weights)


def cubic(distance: Tensor) -> Tensor:
    """Return the cubic convolution kernel (Keys 1981) at distances in pixels; 0 from 2 on."""
    t = distance.abs()
    near = (SLOPE + 2) * t**3 - (SLOPE + 3) * t**2 + 1
    far = SLOPE * (t**3 - 5 * t**2 + 8 * t - 4)
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
