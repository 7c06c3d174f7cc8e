"""The nine operations of AugMix on a batch of uint8 images, each image with its own operation.

Strengths and rounding are those of the paper's code, which calls Pillow: the operations on grey levels give
the same bytes as Pillow, the geometric ones differ by at most a grey level (interpolation in float32).
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, one_hot

OPERATIONS = (
    "autocontrast",
    "equalize",
    "posterize",
    "solarize",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""Names; the first four change grey levels, the others move pixels."""
LEVELS = 4
"""How many of `OPERATIONS` change grey levels."""


def apply_operations(images: Tensor, operations: Tensor, levels: Tensor, signs: Tensor) -> Tensor:
    """Return the images after one operation each.

    Args:
        images: uint8 (m, c, h, w).
        operations: int64 (m,) on the CPU, index into `OPERATIONS`; -1 leaves an image as it is.
        levels: float32 (m,) on the CPU, strength, 0.1 to 10.
        signs: float32 (m,) on the CPU, direction of geometric operations.

    Returns:
        A new uint8 tensor (m, c, h, w).
    """
    out = images.clone()
    for kind, change in enumerate((_autocontrast, _equalize, _posterize, _solarize)):
        rows = (operations == kind).nonzero().view(-1)
        if len(rows):
            places = rows.to(images.device)
            chosen = images[places]
            out[places] = _look_up(chosen, change(chosen, levels[rows].to(images.device)))
    rows = (operations >= LEVELS).nonzero().view(-1)
    if len(rows):
        places = rows.to(images.device)
        matrices = _matrices(operations[rows], levels[rows], signs[rows], images.shape[2], images.shape[3])
        out[places] = warp(images[places], matrices.to(images.device))
    return out


def _look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Return ``tables[i, c, images[i, c]]``; tables are (m, c or 1, 256)."""
    flat = images.flatten(2).long()
    full = tables.expand(-1, images.shape[1], -1)
    return full.gather(2, flat).to(torch.uint8).view(images.shape)


def _ramp(images: Tensor) -> Tensor:
    return torch.arange(256, device=images.device).view(1, 1, 256)


def _autocontrast(images: Tensor, levels: Tensor) -> Tensor:
    """Stretch each channel to 0..255."""
    flat = images.flatten(2).double()
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    # A number divided by a tensor would be a product with the reciprocal, a last bit off.
    scale = torch.full_like(low, 255.0) / (high - low).clamp(min=1.0)
    ramp = _ramp(images)
    table = (ramp * scale - low * scale).clamp(0.0, 255.0).trunc().long()
    return torch.where(high > low, table, ramp)


def _equalize(images: Tensor, levels: Tensor) -> Tensor:
    """Flatten each channel's histogram."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - last) // 255
    below = counts.cumsum(2) - counts
    ramp = _ramp(images)
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table, ramp)


def _posterize(images: Tensor, levels: Tensor) -> Tensor:
    """Keep the upper 4 bits at weak strength, down to none at full strength."""
    bits = 4 - (levels * 4 / 10).long()
    dropped = (1 << (8 - bits)).view(-1, 1, 1)
    return _ramp(images) // dropped * dropped


def _solarize(images: Tensor, levels: Tensor) -> Tensor:
    """Invert the levels from a threshold on."""
    threshold = 256 - (levels * 256 / 10).long().view(-1, 1, 1)
    ramp = _ramp(images)
    return torch.where(ramp < threshold, ramp, 255 - ramp)


def _matrices(operations: Tensor, levels: Tensor, signs: Tensor, height: int, width: int) -> Tensor:
    """Return (m, 2, 3) matrices that take output pixel positions to input positions.

    Rotations turn about the centre by up to 30 degrees, shears are up to 0.3 and keep the upper left corner,
    translations go up to a third of the side; rotations and translations take whole steps.
    """
    kind = one_hot(operations, len(OPERATIONS)).float()[:, LEVELS:].unbind(1)
    turn = -kind[0] * signs * (levels * 30 / 10).trunc() * (pi / 180)
    shear = signs * levels * 0.3 / 10
    cosine, sine = torch.cos(turn), torch.sin(turn)
    centre_x, centre_y = width / 2, height / 2
    along_x = kind[3] * signs * (levels * (width / 3) / 10).trunc()
    along_y = kind[4] * signs * (levels * (height / 3) / 10).trunc()
    row_x = torch.stack(
        [cosine, sine + kind[1] * shear, centre_x - cosine * centre_x - sine * centre_y + along_x], 1
    )
    row_y = torch.stack(
        [kind[2] * shear - sine, cosine, centre_y + sine * centre_x - cosine * centre_y + along_y], 1
    )
    return torch.stack([row_x, row_y], 1)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Return images under affine maps: bilinear, black where the position lies outside the image.

    Args:
        images: uint8 (m, c, h, w).
        matrices: float32 (m, 2, 3), output position to input position in pixels; pixel (0, 0) covers the
            unit square, its centre is (0.5, 0.5).
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device, dtype=torch.float32) + 0.5
    y = torch.arange(height, device=images.device, dtype=torch.float32) + 0.5
    spots = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).view(-1, 2)
    sources = spots @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]
    size = torch.tensor([width, height], device=images.device, dtype=torch.float32)
    inside = ((sources >= 0) & (sources < size)).all(2).view(-1, 1, height, width)
    grid = (sources / size * 2.0 - 1.0).view(-1, height, width, 2)
    moved = grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where(inside, (moved + 0.5).floor(), 0.0).to(torch.uint8)
