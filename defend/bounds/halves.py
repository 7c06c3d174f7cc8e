"""The two halves of an image, as the fields of a chessboard, each filled up to a whole image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def half(images: Tensor, parity: int) -> Tensor:
    """Return images of which every second pixel is known, the others the mean of the known beside them.

    Args:
        images: (n, c, h, w); only pixels of the parity are read.
        parity: of row plus column of the pixels that are known, 0 or 1.
    """
    height, width = images.shape[2:]
    field = torch.arange(height)[:, None] + torch.arange(width)
    known = ((field % 2) == parity).to(device=images.device, dtype=images.dtype)
    # All four neighbours of an unknown pixel are known; at the border there are fewer of them.
    sums, counts = (_beside(x) for x in (images * known, known.expand(1, 1, -1, -1)))
    return torch.where(known.bool(), images, sums / counts.clamp_min(1.0))


def _beside(x: Tensor) -> Tensor:
    """Return the sum of the four neighbours of each pixel."""
    around = functional.pad(x, (1, 1, 1, 1))
    return around[:, :, :-2, 1:-1] + around[:, :, 2:, 1:-1] + around[:, :, 1:-1, :-2] + around[:, :, 1:-1, 2:]
