"""Zero-DCE: a small network that estimates brightening curves for every pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ITERATIONS = 8


class ZeroDCENet(nn.Module):
    """DCE-Net (Guo et al. 2020, "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement").

    Seven 3x3 convolutions of ``width`` channels with symmetric concatenation; the last gives 24 curve maps A
    in [-1, 1], three for each of the eight iterations x + A x (1 - x).

    A fresh network is the identity: the last convolution starts at zero.

    Args:
        width: channels of the hidden convolutions.
    """

    def __init__(self, width: int = 32) -> None:
        """Make the layers."""
        super().__init__()
        sources = (3, width, width, width, 2 * width, 2 * width)
        self.hidden = nn.ModuleList(nn.Conv2d(source, width, 3, padding=1) for source in sources)
        self.last = nn.Conv2d(2 * width, 3 * ITERATIONS, 3, padding=1)

    def init_weights(self) -> None:
        """Start at the identity."""
        self.last.weight.zero_()
        if self.last.bias is not None:
            self.last.bias.zero_()

    def curves(self, x: Tensor) -> Tensor:
        """Return the curve maps (n, 24, h, w) in [-1, 1] of images (n, 3, h, w) in [0, 1]."""
        kept = [x]
        for place, layer in enumerate(self.hidden):
            # The fifth and sixth see the mirrored layer too: 3 with 4, 2 with 5 (and the last 1 with 6).
            seen = kept[-1] if place < 4 else torch.cat((kept[7 - place], kept[-1]), dim=1)
            kept.append(functional.relu(layer(seen)))
        return torch.tanh(self.last(torch.cat((kept[1], kept[6]), dim=1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return brightened images (n, 3, h, w) in [0, 1] of images of the same shape and range."""
        return applied(x, self.curves(x))


def applied(x: Tensor, curves: Tensor) -> Tensor:
    """Apply the curves one after the other: x + A x (1 - x).

    Args:
        x: (n, 3, h, w) in [0, 1].
        curves: (n, 3 k, h, w) in [-1, 1], one triple an iteration.

    Returns:
        (n, 3, h, w) in [0, 1].
    """
    for curve in torch.split(curves, 3, dim=1):
        x = x + curve * x * (1.0 - x)
    return x
