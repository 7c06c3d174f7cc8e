"""VDSR (Kim et al. 2016): a deep chain of convolutions on the enlarged image."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from clearsight.restore.networks.cubic import Cubic


class VDSR(nn.Module):
    """Cubic convolution, to which ``depth`` 3x3 convolutions with ReLU in between add what is missing.

    Colour at once; the paper's network runs on luminance.

    Args:
        scale: output size / input size.
        depth: number of convolutions.
        width: channels of the hidden layers.
    """

    def __init__(self, scale: int, depth: int, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.cubic = Cubic(scale)
        sizes = (3, *(width,) * (depth - 1), 3)
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(sizes)
        )

    def init_weights(self) -> None:
        """Start as cubic convolution."""
        nn.init.zeros_(cast(nn.Conv2d, self.convs[-1]).weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 3, h scale, w scale) for (n, 3, h, w) of any size."""
        enlarged: Tensor = self.cubic(x)
        y = enlarged
        for conv in self.convs[:-1]:
            y = torch.relu(conv(y))
        missing: Tensor = self.convs[-1](y)
        return enlarged + missing
