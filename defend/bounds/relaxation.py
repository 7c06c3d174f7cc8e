"""CROWN: linear bounds of a network's output, carried back through its layers (Zhang et al. 2018).

A ReLU whose input may have either sign lies below the line through its two ends and above zero or above the
identity, whichever is nearer (the adaptive choice of the paper). The bounds of inner layers are found in the
same way, and cut with those of the intervals, so that nothing is looser than these.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clearsight.defend.bounds.intervals import Box, lowest_of, through
from clearsight.defend.bounds.layers import Layer

AT_ONCE = 256
"""Neurons whose bounds are carried back together: memory, not results, depends on it."""


def margins(layers: Sequence[Layer], low: Tensor, high: Tensor, rivals: Tensor) -> Tensor:
    """Return lower bounds of how far the logit of a class stays above the others.

    Args:
        layers: of the network.
        low: float64 (n, c, h, w), the least images.
        high: the greatest.
        rivals: float64 (n, k, classes), rows such as class less rival.

    Returns:
        (n, k).
    """
    found = []
    for i, rows in enumerate(rivals):
        before = inner_boxes(layers, (low[i : i + 1], high[i : i + 1]))
        bounds = carried_back(layers, before, rows)
        # The slopes of ReLUs are chosen before anything is known of the rows: the boxes may say more.
        if (last := layers[-1]) is not None:
            box = before[-2]
            bounds = torch.maximum(bounds, lowest_of(*last.backward(rows, box[0].shape[1:]), *box))
        found.append(bounds)
    return torch.stack(found)


def inner_boxes(layers: Sequence[Layer], box: Box) -> list[Box]:
    """Return the box before each layer, for one image (1, c, h, w)."""
    before = [box]
    for number, layer in enumerate(layers):
        if layer is None:
            before[-1] = _tightened(layers[:number], before, before[-1])
        before.append(through(layer, before[-1]))
    return before


def carried_back(layers: Sequence[Layer], before: Sequence[Box], rows: Tensor) -> Tensor:
    """Return lower bounds (m,) of functionals (m, *out) of the output of some layers.

    Args:
        layers: through which they are carried back.
        before: the box before each of them, from the image on.
        rows: the functionals.
    """
    constant = rows.new_zeros(len(rows))
    for number in range(len(layers) - 1, -1, -1):
        layer, (low, high) = layers[number], before[number]
        if layer is None:
            rows, shift = _through_relu(rows, low, high)
        else:
            rows, shift = layer.backward(rows, low.shape[1:])
        constant = constant + shift
    return lowest_of(rows, constant, *before[0])


def _through_relu(rows: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return functionals of the ReLUs' inputs, and constants (m,), that bound ``rows`` from below."""
    crossing = (low < 0) & (high > 0)
    rising = torch.where(crossing, high / (high - low).clamp_min(1e-300), (low >= 0).to(rows.dtype))
    flat = torch.where(crossing, (high > -low).to(rows.dtype), (low >= 0).to(rows.dtype))
    above, below = rows.clamp_max(0.0), rows.clamp_min(0.0)
    shift = (above * torch.where(crossing, -rising * low, 0.0)).flatten(1).sum(1)
    return above * rising + below * flat, shift


def _tightened(layers: Sequence[Layer], before: Sequence[Box], box: Box) -> Box:
    """Return a box that both the intervals and the linear bounds allow."""
    if not layers:
        return box
    low, high = (end.flatten().clone() for end in box)
    # A neuron whose sign the intervals know is passed on as it is: its bounds change nothing.
    unknown = ((low < 0) & (high > 0)).nonzero()[:, 0]
    for part in torch.split(unknown, AT_ONCE):
        rows = torch.zeros(len(part), len(low), dtype=low.dtype, device=low.device)
        rows[torch.arange(len(part)), part] = 1.0
        rows = rows.view(len(part), *box[0].shape[1:])
        low[part] = torch.maximum(low[part], carried_back(layers, before, rows))
        high[part] = torch.minimum(high[part], -carried_back(layers, before, -rows))
    return low.view_as(box[0]), high.view_as(box[1])
