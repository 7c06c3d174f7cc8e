"""The lowest spatial frequencies of images, by the orthonormal discrete cosine transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosines(length: int, count: int | None = None) -> Tensor:
    """Return the first ``count`` rows of the orthonormal DCT-II matrix, float32 (count, length).

    Row k is the cosine of k half periods; the rows are orthogonal and have length 1.
    """
    count = length if count is None else count
    # In double precision, because cos of a large argument loses digits in single.
    k = torch.arange(count, dtype=torch.float64)[:, None]
    i = torch.arange(length, dtype=torch.float64)[None]
    matrix = math.sqrt(2.0 / length) * torch.cos(math.pi / length * (i + 0.5) * k)
    matrix[0] /= math.sqrt(2.0)
    return matrix.to(torch.float32)


def lowest(length: int, share: float) -> int:
    """Return how many of an axis's frequencies are kept: ``share`` of them, at least the constant one."""
    return max(1, round(share * length))


def low_pass(x: Tensor, share: float) -> Tensor:
    """Return the nearest (l2) images that hold only the lowest frequencies along each axis.

    Args:
        x: (n, c, h, w).
        share: of the frequencies of each axis that are kept, 0 to 1; 1 keeps all.
    """
    out = x
    for axis in (2, 3):
        length = x.shape[axis]
        # Where all are kept nothing is computed, so that nothing is rounded.
        if (count := lowest(length, share)) < length:
            rows = cosines(length, count).to(x)
            keep = rows.T @ rows
            out = keep @ out if axis == 2 else out @ keep
    return out
