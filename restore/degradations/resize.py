"""Loss of resolution: an image is made smaller and brought back to its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOWN = ("area", "bilinear", "bicubic")
UP = ("bilinear", "bicubic")


def down_up(
    images: Tensor, factors: NDArray[np.float64], down: NDArray[np.int64], up: NDArray[np.int64]
) -> Tensor:
    """Shrink each image by its own factor and enlarge it again; pixel centres stay where they were.

    Args:
        images: (n, c, h, w).
        factors: (n,) in (0, 1]: intermediate size / size.
        down: (n,), index into `DOWN`; bilinear and bicubic are antialiased.
        up: (n,), index into `UP`.

    Returns:
        (n, c, h, w); bicubic overshoots, nothing is clipped.
    """
    height, width = images.shape[2:]
    out = []
    for i, factor in enumerate(factors):
        size = (max(1, round(height * float(factor))), max(1, round(width * float(factor))))
        if size == (height, width):
            out.append(images[i : i + 1])
            continue
        small = _resized(images[i : i + 1], size, DOWN[int(down[i])])
        out.append(_resized(small, (height, width), UP[int(up[i])]))
    return torch.cat(out)


def _resized(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if mode == "area":
        return interpolate(image, size, mode="area")
    return interpolate(image, size, mode=mode, align_corners=False, antialias=True)
