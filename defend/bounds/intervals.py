"""Interval bound propagation: the box of each layer's output, for images in a box (Gowal et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clearsight.defend.bounds.layers import Affine, Layer

Box = tuple[Tensor, Tensor]
"""Lowest and highest values (n, ...)."""


def boxes(layers: Sequence[Layer], low: Tensor, high: Tensor) -> list[Box]:
    """Return the box before each layer, and that of the output last.

    Args:
        layers: of the network.
        low: float64 (n, c, h, w).
        high: the same.
    """
    found = [(low, high)]
    for layer in layers:
        found.append(through(layer, found[-1]))
    return found


def through(layer: Layer, box: Box) -> Box:
    """Return the box of a layer's output."""
    low, high = box
    if layer is None:
        return low.clamp_min(0.0), high.clamp_min(0.0)
    middle, radius = layer.forward((low + high) / 2), layer.spread((high - low) / 2)
    return middle - radius, middle + radius


def margins(layers: Sequence[Layer], low: Tensor, high: Tensor, rivals: Tensor) -> Tensor:
    """Return lower bounds of how far the logit of a class stays above the others.

    The last layer is bounded together with the difference: tighter than the difference of its bounds.

    Args:
        layers: of the network.
        low: float64 (n, c, h, w), the least images.
        high: the greatest.
        rivals: float64 (n, k, classes), rows such as class less rival.

    Returns:
        (n, k).
    """
    last = layers[-1]
    lowest, highest = boxes(layers[:-1] if isinstance(last, Affine) else layers, low, high)[-1]
    bounds = []
    for i, rows in enumerate(rivals):
        moved, constant = rows, rows.new_zeros(len(rows))
        if isinstance(last, Affine):
            moved, constant = last.backward(rows, lowest.shape[1:])
        bounds.append(lowest_of(moved, constant, lowest[i : i + 1], highest[i : i + 1]))
    return torch.stack(bounds)


def lowest_of(rows: Tensor, constant: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the least values (m,) of functionals (m, *shape) plus constants over a box (1, *shape)."""
    middle, radius = (low + high) / 2, (high - low) / 2
    return (rows * middle).flatten(1).sum(1) - (rows.abs() * radius).flatten(1).sum(1) + constant
