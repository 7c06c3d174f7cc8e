"""Filtering that the restorers share: extension at the borders, convolution, weighted means of neighbours.

Everything here is plain torch: exactly differentiable, free of in-place writes, and exportable to ONNX with
dynamic sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

DIRECT_TAPS = 25
"""Up to this number of taps a direct convolution is faster than Fourier transforms."""


def extend(x: Tensor, radius: int) -> Tensor:
    """Mirror an image at its borders (``cba|abc|cba``), as often as the radius needs.

    Args:
        x: (n, c, h, w), any size: images smaller than the radius are mirrored repeatedly.
        radius: pixels added on each side.

    Returns:
        (n, c, h + 2 radius, w + 2 radius).
    """
    if radius == 0:
        return x
    rows = mirror(x.shape[2], radius, x.device)
    columns = mirror(x.shape[3], radius, x.device)
    return x.index_select(2, rows).index_select(3, columns)


def mirror(size: int, radius: int, device: torch.device) -> Tensor:
    """Return the indices (size + 2 radius,) into an axis that extend it by mirroring at both ends."""
    # The remainder is spelled out, and kept from negative numbers, for the sake of export with dynamic sizes.
    at = torch.arange(-radius, size + radius, device=device) + 2 * size * radius
    at = at - torch.div(at, 2 * size, rounding_mode="floor") * (2 * size)
    return torch.minimum(at, 2 * size - 1 - at)


def convolve(x: Tensor, taps: Tensor) -> Tensor:
    """Convolve every channel with one kernel; only pixels whose window lies inside are returned.

    Large kernels go through the Fourier transform, except in an export, where the graph gets the equal
    direct convolution.

    Args:
        x: (n, c, h, w).
        taps: (kh, kw), not larger than the image.

    Returns:
        (n, c, h - kh + 1, w - kw + 1).
    """
    if taps.numel() <= DIRECT_TAPS or torch.compiler.is_compiling():
        return _correlate(x, taps.flip(0, 1))
    height, width = x.shape[2:]
    rows, columns = taps.shape
    # Imported here: scipy takes a third of a second, and most chains need no Fourier transform.
    from scipy.fft import next_fast_len

    size = (next_fast_len(height, real=True), next_fast_len(width, real=True))
    spectrum = torch.fft.rfft2(x, s=size) * torch.fft.rfft2(taps, s=size)
    whole: Tensor = torch.fft.irfft2(spectrum, s=size)
    return whole[:, :, rows - 1 : height, columns - 1 : width]


def _correlate(x: Tensor, taps: Tensor, dilation: tuple[int, int] = (1, 1)) -> Tensor:
    folded = x.reshape(-1, 1, x.shape[2], x.shape[3])
    out = functional.conv2d(folded, taps[None, None], dilation=dilation)
    return out.reshape(-1, x.shape[1], out.shape[2], out.shape[3])


def separable(x: Tensor, taps: Tensor, *, dilation: int = 1) -> Tensor:
    """Correlate rows and columns with ``taps`` (k,); each axis shrinks by ``dilation * (k - 1)``."""
    return _correlate(_correlate(x, taps[:, None], (dilation, 1)), taps[None, :], (1, dilation))


def gaussian_radius(sigma: float, *, truncate: float = 3.0) -> int:
    """Return how many pixels a sampled Gaussian reaches to each side."""
    return max(1, math.ceil(truncate * sigma))


def gaussian_taps(sigma: float, *, truncate: float = 3.0) -> Tensor:
    """Return a sampled Gaussian (2 ceil(truncate sigma) + 1,) that sums to 1; float64."""
    radius = gaussian_radius(sigma, truncate=truncate)
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (at / sigma) ** 2)
    return taps / taps.sum()


def gaussian_blurred(x: Tensor, sigma: float) -> Tensor:
    """Blur images (n, c, h, w) by a Gaussian; they are mirrored at their borders."""
    return separable(extend(x, gaussian_radius(sigma)), gaussian_taps(sigma).to(x))


def thrifty(step: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """Run a step; under autograd keep only its inputs and recompute it in the backward pass.

    A filter that loops over a hundred neighbours would otherwise keep gigabytes for one image.
    """
    if (
        torch.is_grad_enabled()
        and any(t.requires_grad for t in tensors)
        and not torch.compiler.is_compiling()
    ):
        again = checkpoint(step, *tensors, use_reentrant=False, preserve_rng_state=False)
        return cast("tuple[Tensor, ...]", again)
    return step(*tensors)


def neighbour_mean(
    x: Tensor, *, search: int, patch: int, weight: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Average every pixel with its neighbours, each weighted by how much its patch resembles the pixel's.

    Args:
        x: (n, c, h, w).
        search: neighbours are taken from a square of side 2 search + 1.
        patch: patches are squares of side 2 patch + 1; 0 compares single pixels.
        weight: takes the mean squared difference of two patches over their pixels and channels, (k, n, h, w)
            for k neighbours, and the squared distances of the pixels, (k, 1, 1, 1); returns (k, n, h, w).

    Returns:
        (n, c, h, w). It depends on a square of side 2 (search + patch) + 1.
    """
    around = extend(x, search + patch)
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for down in range(2 * search + 1):

        def row(wide: Tensor, total: Tensor, weights: Tensor, down: int = down) -> tuple[Tensor, ...]:
            return _add_row(wide, total, weights, down, search, patch, weight)

        total, weights = thrifty(row, around, total, weights)
    return total / weights


def _add_row(
    around: Tensor,
    total: Tensor,
    weights: Tensor,
    down: int,
    search: int,
    patch: int,
    weight: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Add one row of neighbours; they are stacked, which keeps exported graphs small."""
    height, width = total.shape[2] + 2 * patch, total.shape[3] + 2 * patch
    centre = around[:, :, search : search + height, search : search + width]
    rows = around[:, :, down : down + height]
    others = torch.stack([rows[..., right : right + width] for right in range(2 * search + 1)])
    distance = (centre - others).square().mean(dim=2)
    if patch:
        distance = functional.avg_pool2d(distance, 2 * patch + 1, stride=1)
    squared = [(down - search) ** 2 + (right - search) ** 2 for right in range(2 * search + 1)]
    share = weight(distance, around.new_tensor(squared).view(-1, 1, 1, 1))
    inside = others[..., patch : height - patch, patch : width - patch]
    return total + (share[:, :, None] * inside).sum(dim=0), weights + share.sum(dim=0)[:, None]
