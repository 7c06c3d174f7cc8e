"""Robust principal components: a matrix as a low rank plus a sparse part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_STEPS = 200
TURNS = 50
"""Most rounds of the augmented Lagrangian, and of the projections at each rank."""
TOLERANCE = 1e-6
"""Of what is left over, relative to the norm of the matrix."""
GROWTH = 1.2
"""Of the Lagrangian's step, per round."""


def pursued(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the low rank and the sparse part by principal component pursuit (Candes et al. 2011).

    The sum of the singular values plus lambda times the sum of absolute entries is made small, lambda = 1 /
    sqrt(larger side), by the inexact augmented Lagrangian of Lin et al. (2010).

    Args:
        matrix: (n, d).
    """
    norm = float(np.linalg.norm(matrix))
    if norm == 0:
        return matrix.copy(), np.zeros_like(matrix)
    weight = 1.0 / np.sqrt(max(matrix.shape))
    top = float(np.linalg.svd(matrix, compute_uv=False)[0])
    step = 1.25 / top
    low, sparse = np.zeros_like(matrix), np.zeros_like(matrix)
    dual = matrix / max(top, float(np.abs(matrix).max()) / weight)
    for _ in range(MOST_STEPS):
        sparse = _shrunk(matrix - low + dual / step, weight / step)
        left, values, right = np.linalg.svd(matrix - sparse + dual / step, full_matrices=False)
        low = (left * _shrunk(values, 1.0 / step)) @ right
        residual = matrix - low - sparse
        dual = dual + step * residual
        step *= GROWTH
        if np.linalg.norm(residual) <= TOLERANCE * norm:
            break
    return low, sparse


def alternated(matrix: NDArray[np.float64], rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same two parts by alternating projections (Netrapalli et al. 2014), ranks 1 to ``rank``.

    Each round projects on the matrices of a rank, then keeps the entries of the rest above a threshold that
    falls with the singular values.

    Args:
        matrix: (n, d).
        rank: of the low-rank part, at most.
    """
    scale = 1.0 / np.sqrt(max(matrix.shape))
    norm = float(np.linalg.norm(matrix))
    low = np.zeros_like(matrix)
    sparse = _kept(matrix, scale * float(np.linalg.svd(matrix, compute_uv=False)[0]))
    for stage in range(1, min(rank, *matrix.shape) + 1):
        for turn in range(TURNS):
            left, values, right = np.linalg.svd(matrix - sparse, full_matrices=False)
            low = (left[:, :stage] * values[:stage]) @ right[:stage]
            beyond = float(values[stage]) if stage < len(values) else 0.0
            before = sparse
            sparse = _kept(matrix - low, scale * (beyond + 0.5**turn * float(values[stage - 1])))
            if np.linalg.norm(sparse - before) <= TOLERANCE * norm:
                break
    return low, sparse


def _shrunk(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.maximum(np.abs(values) - by, 0.0))


def _kept(values: NDArray[np.float64], above: float) -> NDArray[np.float64]:
    return np.asarray(np.where(np.abs(values) > above, values, 0.0))
