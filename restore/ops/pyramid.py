"""Gaussian and Laplacian pyramids, and the fusion of images by them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from clearsight.restore.ops.filtering import separable

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Taps of the low-pass filter (Burt and Adelson 1983)."""


def blurred(x: Tensor) -> Tensor:
    """Return images (n, c, h, w) blurred by the 5x5 binomial filter; the border is replicated."""
    return separable(pad(x, (2, 2, 2, 2), mode="replicate"), x.new_tensor(BINOMIAL))


def halved(x: Tensor) -> Tensor:
    """Return images of half the size, blurred first; both sides are even."""
    return avg_pool2d(blurred(x), 2)


def doubled(x: Tensor) -> Tensor:
    """Return images of twice the size by linear interpolation."""
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def fused(images: Sequence[Tensor], weights: Sequence[Tensor], levels: int) -> Tensor:
    """Fuse images of one scene, each frequency band by weights that are as smooth as the band is coarse.

    The Laplacian pyramids of the images are added, weighted by the Gaussian pyramids of the weights, and
    the sum is built up again (Burt and Adelson 1983; Mertens, Kautz and Van Reeth 2009): no seams, no halos.

    Args:
        images: each (n, c, h, w), both sides multiples of ``2 ** levels``.
        weights: one (n, 1, h, w) for each image; at every pixel they add up to 1.
        levels: how often the size is halved.

    Returns:
        (n, c, h, w).
    """
    if levels == 0:
        return sum_of(images, weights)
    small_images = [halved(each) for each in images]
    details = [each - doubled(small) for each, small in zip(images, small_images, strict=True)]
    small_weights = [halved(each) for each in weights]
    return doubled(fused(small_images, small_weights, levels - 1)) + sum_of(details, weights)


def sum_of(images: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the sum of the images times their weights."""
    total = images[0] * weights[0]
    for image, weight in zip(images[1:], weights[1:], strict=True):
        total = total + image * weight
    return total
