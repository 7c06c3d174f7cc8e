"""Two chains of fixed strength, with which blind restoration is validated; the same on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clearsight.restore.degradations.blur import blur, eight_bits
from clearsight.restore.degradations.jpeg import jpeg
from clearsight.restore.degradations.kernels import gaussian_kernels
from clearsight.restore.degradations.noise import camera_noise, gaussian_noise

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng


def mild(images: Tensor, rng: Rng) -> Tensor:
    """Return photographs of a good camera at high sensitivity.

    Camera noise of standard deviation 4/255 at mid-grey in grains of 0.7 and blotches of 4 pixels, then JPEG
    quality 95 with full colour.

    Args:
        images: (n, c, h, w) in [0, 1].
        rng: stream of the noise.

    Returns:
        (n, c, h, w), multiples of 1/255 in [0, 1].
    """
    return _compressed(_camera(images, 4 / 255, rng), 95, halved=False)


def strong(images: Tensor, rng: Rng) -> Tensor:
    """Return images that were taken badly and passed on twice.

    Gaussian blur of 0.8 pixels, camera noise of 8/255, JPEG quality 70, white colour noise of 6/255, JPEG
    quality 50 with a shifted block grid; both with 4:2:0 colour.

    Args:
        images: (n, c, h, w) in [0, 1].
        rng: stream of the noise.

    Returns:
        (n, c, h, w), multiples of 1/255 in [0, 1].
    """
    width = np.full(len(images), 0.8)
    soft = blur(images, torch.from_numpy(gaussian_kernels(width, width, 0 * width, 7)))
    once = _compressed(_camera(soft, 8 / 255, rng.at("camera")), 70, halved=True)
    sigma = torch.full((len(images), 1, 1, 1), 6 / 255)
    noisy = gaussian_noise(once, sigma, rng.at("gaussian"), repeatable=True)
    return _compressed(noisy, 50, halved=True, moved=4)


def _camera(images: Tensor, level: float, rng: Rng) -> Tensor:
    def each(value: float) -> Tensor:
        return torch.full((len(images), 1, 1, 1), value)

    noisy = camera_noise(
        images,
        each(level),
        rng,
        fine=each(0.7),
        coarse=each(4.0),
        correlation=each(0.65),
        read_noise=each(0.01),
        repeatable=True,
    )
    return eight_bits(noisy)


def _compressed(images: Tensor, quality: int, *, halved: bool, moved: int = 0) -> Tensor:
    count = len(images)
    return jpeg(images, np.full(count, quality), np.full(count, halved), np.full((count, 2), moved))
