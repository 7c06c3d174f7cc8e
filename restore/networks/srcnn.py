"""SRCNN (Dong et al. 2014): three convolutions on the enlarged image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearsight.restore.networks.cubic import Cubic

FIRST, LAST = 9, 5
"""Sides of the outer kernels."""


class SRCNN(nn.Module):
    """Cubic convolution, then 9x9, ``middle`` x ``middle`` and 5x5 convolutions with ReLU in between.

    Colour at once, zero padding, and added to the enlarged image; the paper's network runs on luminance,
    has no padding and returns the image itself.

    Args:
        scale: output size / input size.
        middle: side of the second kernel: 1, 3 or 5.
    """

    def __init__(self, scale: int, middle: int) -> None:
        """Make the layers."""
        super().__init__()
        self.cubic = Cubic(scale)
        self.conv1 = nn.Conv2d(3, 64, FIRST, padding=FIRST // 2)
        self.conv2 = nn.Conv2d(64, 32, middle, padding=middle // 2)
        self.conv3 = nn.Conv2d(32, 3, LAST, padding=LAST // 2)

    def init_weights(self) -> None:
        """Start as cubic convolution."""
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 3, h scale, w scale) for (n, 3, h, w) of any size."""
        enlarged: Tensor = self.cubic(x)
        missing: Tensor = self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(enlarged)))))
        return enlarged + missing
