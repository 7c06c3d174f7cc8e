"""Transforms of small square blocks as matrices: DCT, biorthogonal spline wavelet, Haar."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

SPLINE = tuple(v * 2**0.5 / 256 for v in (3, -3, -22, 22, 128, 128, 22, -22, -3, 3))
"""Analysis low-pass filter of the biorthogonal spline wavelet 1.5 (Cohen, Daubechies and Feauveau 1992); its
high-pass filter is Haar's."""


@lru_cache(maxsize=8)
def dct_matrix(side: int) -> Tensor:
    """Return the orthonormal DCT-II (side, side), one basis function a row; float64."""
    at = torch.arange(side, dtype=torch.float64)
    rows = torch.cos(math.pi * at[:, None] * (at[None, :] + 0.5) / side)
    rows = rows * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return rows


@lru_cache(maxsize=8)
def haar_matrix(side: int) -> Tensor:
    """Return the orthonormal Haar transform (side, side), side a power of two; float64."""
    if side == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    coarse = torch.kron(haar_matrix(side // 2), torch.tensor([[1.0, 1.0]], dtype=torch.float64))
    fine = torch.kron(torch.eye(side // 2, dtype=torch.float64), torch.tensor([[1.0, -1.0]]).double())
    return torch.cat([coarse, fine]) / math.sqrt(2)


@lru_cache(maxsize=8)
def spline_matrix(side: int) -> Tensor:
    """Return the full periodic bior1.5 analysis (side, side), rows of norm 1, side a power of two; float64.

    With rows of norm 1 white noise keeps its standard deviation in every coefficient. The transform is not
    orthonormal: its inverse is that of the matrix.
    """
    low = torch.tensor(SPLINE, dtype=torch.float64)
    high = torch.tensor([-(0.5**0.5), 0.5**0.5], dtype=torch.float64)
    whole = torch.eye(side, dtype=torch.float64)
    size = side
    while size > 1:
        step = torch.zeros(size, size, dtype=torch.float64)
        for row in range(size // 2):
            for tap, value in enumerate(low):
                step[row, (2 * row + tap - 4) % size] += value
            for tap, value in enumerate(high):
                step[size // 2 + row, (2 * row + tap) % size] += value
        whole[:size] = step @ whole[:size]
        size //= 2
    return whole / whole.square().sum(dim=1, keepdim=True).sqrt()


def on_blocks(rows: Tensor) -> Tensor:
    """Return the matrix (side^2, side^2) that transforms both axes of blocks in row-major order."""
    return torch.kron(rows, rows)
