"""Label-preserving augmentation of a batch: shift, flip, rotation, zoom, brightness, cutout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clearsight.pipelines.config.train import Augment

GREY = 0.5


def augmented(images: Tensor, how: Augment, generator: torch.Generator) -> Tensor:
    """Return an augmented batch.

    Args:
        images: uint8 (n, h, w, c) on any device.
        how: which changes, how strong.
        generator: on the CPU, so that all devices see the same draws.

    Returns:
        float32 (n, c, h, w) in [0, 1] on the images' device.
    """
    n, height, width = images.shape[:3]
    shifts = torch.randint(-how.crop, how.crop + 1, (2, n, 1), generator=generator)
    rows = mirrored(torch.arange(height) + shifts[0], height)
    columns = mirrored(torch.arange(width) + shifts[1], width)
    if how.flip:
        turned = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(turned, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    image = torch.arange(n, device=images.device)
    moved = images[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    out = as_floats(moved)
    if how.degrees is not None or how.zoom is not None:
        out = _warped(out, how.degrees or 0.0, how.zoom or 0.0, generator)
    if how.brightness is not None:
        factors = 1 + how.brightness * _even((n, 1, 1, 1), generator)
        out = (out * factors.to(out.device)).clamp(0, 1)
    if how.cutout:
        out = out.masked_fill(_squares(n, height, width, how.cutout, generator).to(out.device), GREY)
    return out


def as_floats(images: Tensor) -> Tensor:
    """Return uint8 (n, h, w, c) as float32 (n, c, h, w) in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 255.0


def mirrored(positions: Tensor, length: int) -> Tensor:
    """Fold positions outside [0, length) back, mirroring at the border without repeating the last pixel."""
    if length == 1:
        return torch.zeros_like(positions)
    folded = positions.remainder(2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)


def _even(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return values drawn uniformly from [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _warped(images: Tensor, degrees: float, zoom: float, generator: torch.Generator) -> Tensor:
    """Return images (n, c, h, w) turned and scaled about their centre, bilinear, the border mirrored."""
    n, _, height, width = images.shape
    angles = math.radians(degrees) * _even((n,), generator)
    scales = 1 + zoom * _even((2, n), generator)
    cosine, sine = angles.cos(), angles.sin()
    # Coordinates run from -1 to 1 along both sides: where these differ, a turn needs their ratio.
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cosine * scales[0], -sine * scales[0] * height / width
    theta[:, 1, 0], theta[:, 1, 1] = sine * scales[1] * width / height, cosine * scales[1]
    grid = nn.functional.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _squares(n: int, height: int, width: int, side: int, generator: torch.Generator) -> Tensor:
    """Return a mask (n, 1, h, w) of one square each; it may be cut by the border."""
    top = torch.randint(0, height, (n, 1), generator=generator) - side // 2
    left = torch.randint(0, width, (n, 1), generator=generator) - side // 2
    row, column = torch.arange(height), torch.arange(width)
    high = (row >= top) & (row < top + side)
    wide = (column >= left) & (column < left + side)
    return (high[:, :, None] & wide[:, None, :])[:, None]
