"""Rotation and translation of images, each by an amount of its own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["zeros", "border"]


def turned(x: Tensor, degrees: Tensor, shift: Tensor, *, border: Border = "zeros") -> Tensor:
    """Return images turned about their middle and then shifted, bilinear, of the same size.

    Args:
        x: (n, c, h, w) in [0, 1].
        degrees: (n,), anticlockwise as seen on a screen.
        shift: (n, 2), downwards and to the right, in shares of height and width.
        border: what lies outside: black, or the pixels at the edge.

    Returns:
        (n, c, h, w) in [0, 1].
    """
    height, width = x.shape[2:]
    angle = degrees * (torch.pi / 180.0)
    cos, sin = angle.cos(), angle.sin()
    # The grid is in units of half the height and half the width; where they differ, a plain rotation matrix
    # would shear. Each output pixel asks where it comes from: first shifted back, then turned back.
    down, right = 2.0 * shift.unbind(1)[0], 2.0 * shift.unbind(1)[1]
    tall, wide = height / width, width / height
    across = torch.stack((cos, -sin * tall, -cos * right + sin * tall * down), dim=1)
    along = torch.stack((sin * wide, cos, -sin * wide * right - cos * down), dim=1)
    grid = functional.affine_grid(torch.stack((across, along), dim=1), list(x.shape), align_corners=False)
    out = functional.grid_sample(x, grid, mode="bilinear", padding_mode=border, align_corners=False)
    return out.clamp(0.0, 1.0)
