"""How a system behaves on a few images, in numbers: repeatability, effect of the batch, form of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EQUAL = 1e-4
"""Difference of outputs, relative to the largest one, below which they count as equal: batches of other sizes
are summed in another order. The check before a run and the audit share it."""

Compute = Callable[[Sequence[int]], Tensor]
"""Places of images, to the system's outputs (m, ...) of these images as one batch."""


def change_between_calls(compute: Compute, count: int, *, calls: int = 2) -> float:
    """Return the largest difference between outputs of the same batch, relative to the largest output.

    Args:
        compute: gives the outputs.
        count: images in the batch.
        calls: how often it is computed, at least 2.
    """
    places = range(count)
    first = compute(places)
    return max(apart(first, compute(places)) for _ in range(calls - 1))


def change_in_company(compute: Compute, count: int) -> float:
    """Return the largest relative difference of outputs in a batch from those alone or in reverse order."""
    together = compute(range(count))
    alone = torch.cat([compute([place]) for place in range(count)])
    backwards = compute(range(count)[::-1]).flip(0)
    return max(apart(together, alone), apart(together, backwards))


def off_one(outputs: Tensor) -> float:
    """Return how far the sums of the rows (n, classes) are from 1, at most."""
    return float((outputs.sum(1) - 1).abs().max())


def are_probabilities(outputs: Tensor, *, within: float = 1e-3) -> bool:
    """Return whether rows (n, classes) lie in [0, 1] and sum to 1, up to ``within``."""
    return bool((outputs >= 0).all() and (outputs <= 1).all()) and off_one(outputs) <= within


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative to the largest value; only finite values count."""
    distance = (one.float() - other.float()).abs().nan_to_num(0.0, 0.0, 0.0).max()
    return float(distance / one.float().abs().nan_to_num(0.0, 0.0, 0.0).max().clamp_min(1e-12))
