"""Blurring with one kernel per image, and the blurred test images of blind deblurring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.restore.degradations.noise import gaussian_noise
from clearsight.restore.ops.filtering import convolve, extend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each image with its own kernel; the borders are mirrored.

    Args:
        images: (n, c, h, w).
        kernels: (n, k, k), k odd, not larger than the extended image.

    Returns:
        (n, c, h, w), with the images' type and device.

    Raises:
        ShapeError: there is not one odd square kernel per image.
    """
    count, rows, columns = kernels.shape
    if count != len(images) or rows != columns or rows % 2 == 0:
        raise ShapeError(
            f"expects {len(images)} kernels of odd side, got {tuple(kernels.shape)}", where="blur"
        )
    around = extend(images, rows // 2)
    taps = kernels.to(images)
    return torch.cat([convolve(around[i : i + 1], taps[i]) for i in range(count)])


def eight_bits(images: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the 256 levels of an 8-bit image."""
    return (images.clamp(0.0, 1.0) * 255.0).round() / 255.0


def blurred(image: Tensor, kernel: NDArray[np.float64], sigma: float, rng: Rng) -> Tensor:
    """Return the blurred, noisy, 8-bit version of test images, the same on every machine.

    Args:
        image: (n, c, h, w) in [0, 1]; all get the same kernel.
        kernel: (k, k), k odd.
        sigma: standard deviation of the Gaussian noise for values in [0, 1].
        rng: stream of the noise.

    Returns:
        (n, c, h, w), multiples of 1/255 in [0, 1].
    """
    taps = torch.from_numpy(kernel)[None].expand(len(image), -1, -1)
    level = torch.full((len(image), 1, 1, 1), sigma)
    return eight_bits(gaussian_noise(blur(image, taps), level, rng, repeatable=True))
