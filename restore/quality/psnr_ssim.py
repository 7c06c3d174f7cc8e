"""Full-reference image quality: PSNR, SSIM, and the luminance that super-resolution is judged on."""

from __future__ import annotations

import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.data.finite import refuse_non_finite
from clearsight.restore.ops.filtering import separable

CEILING = 100.0
"""PSNR in dB of identical images, and the largest value returned."""
WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation in pixels of the Gaussian window of SSIM."""


def psnr(a: Tensor, b: Tensor, *, border: int = 0) -> Tensor:
    """Return the peak signal-to-noise ratio of each pair of images, for values in [0, 1].

    The squared error is averaged over all channels and pixels. No rounding to 8 bits is done here.

    Args:
        a: (n, c, h, w).
        b: the same shape.
        border: pixels left out at every side (super-resolution leaves out ``scale``).

    Returns:
        (n,) in dB, at most 100, which identical images get.

    Raises:
        ShapeError: the shapes differ, or nothing is left inside the border.
        DataError: an image holds values that are not finite.
    """
    a, b = _inner(a, b, border, "psnr", 1)
    error = (a - b).square().mean(dim=(1, 2, 3))
    return -10.0 * torch.log10(error.clamp_min(10.0 ** (-CEILING / 10.0)))


def ssim(a: Tensor, b: Tensor, *, border: int = 0) -> Tensor:
    """Return the structural similarity of each pair of images (Wang et al. 2004), for values in [0, 1].

    Gaussian window of 11x11 pixels and standard deviation 1.5, K1 = 0.01, K2 = 0.03, population
    covariances; the mean over channels and over the pixels whose window lies inside the image (as in the
    authors' code and in scikit-image, which leave out 5 pixels at every side).

    Args:
        a: (n, c, h, w), at least 11x11 pixels inside the border.
        b: the same shape.
        border: pixels left out at every side before anything is computed.

    Returns:
        (n,), 1 for identical images.

    Raises:
        ShapeError: the shapes differ, or fewer than 11x11 pixels are left.
        DataError: an image holds values that are not finite.
    """
    a, b = _inner(a, b, border, "ssim", WINDOW)
    at = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - WINDOW // 2
    taps = torch.exp(-0.5 * (at / SIGMA) ** 2)
    taps = taps / taps.sum()
    # Variances do not change under a shift; around zero they lose fewer digits.
    mean_a, mean_b = separable(a - 0.5, taps), separable(b - 0.5, taps)
    var_a = separable((a - 0.5).square(), taps) - mean_a.square()
    var_b = separable((b - 0.5).square(), taps) - mean_b.square()
    covariance = separable((a - 0.5) * (b - 0.5), taps) - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    c1, c2 = 0.01**2, 0.03**2
    luminance_term = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure_term = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance_term * structure_term).mean(dim=(1, 2, 3))


def luminance(x: Tensor) -> Tensor:
    """Return the luma Y of ITU-R BT.601 in studio range, which super-resolution papers compare.

    Args:
        x: (n, 3, h, w) or (n, 1, h, w) with values in [0, 1].

    Returns:
        (n, 1, h, w): 16/255 (black) to 235/255 (white), not rounded to 8 bits; grey images are returned as
        they are.

    Raises:
        ShapeError: another number of channels.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(f"expects images (n, 1 or 3, h, w), got {tuple(x.shape)}", where="luminance")
    if x.shape[1] == 1:
        return x
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=x.dtype, device=x.device)
    return ((x * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True) + 16.0) / 255.0


def _inner(a: Tensor, b: Tensor, border: int, name: str, least: int) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.ndim != 4:
        raise ShapeError(
            f"compares images (n, c, h, w) of equal shape, got {tuple(a.shape)} and {tuple(b.shape)}",
            where=name,
        )
    if border < 0 or min(a.shape[2:]) - 2 * border < least:
        raise ShapeError(
            f"needs at least {least}x{least} pixels inside a border >= 0,"
            f" got {a.shape[2]}x{a.shape[3]} and border {border}",
            where=name,
        )
    for images in (a, b):
        refuse_non_finite(images, "its values are", where=name)
    height, width = a.shape[2:]
    inside = (slice(None), slice(None), slice(border, height - border), slice(border, width - border))
    return a[inside], b[inside]
