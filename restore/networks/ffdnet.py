"""FFDNet (Zhang et al. 2018): DnCNN at half resolution with a map of the noise level."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class FFDNet(nn.Module):
    """PixelUnshuffle(2), noise map, ``depth`` 3x3 convolutions with ReLU in between, PixelShuffle(2).

    The network adds to its input; that of the paper returns the image itself.

    Args:
        channels: of the images.
        depth: number of convolutions.
        width: channels of the hidden layers.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        """Make the layers."""
        super().__init__()
        sizes = (4 * channels + 1, *(width,) * (depth - 1), 4 * channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(sizes)
        )

    def init_weights(self) -> None:
        """Start as the identity."""
        nn.init.zeros_(cast(nn.Conv2d, self.convs[-1]).weight)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return denoised images, not clamped.

        Args:
            x: (n, channels, h, w), height and width even.
            sigma: (n, 1, 1, 1), standard deviation of the noise for values in [0, 1].
        """
        y = functional.pixel_unshuffle(x, 2)
        y = torch.cat((y, sigma.to(y.dtype).expand(y.shape[0], 1, y.shape[2], y.shape[3])), dim=1)
        for conv in self.convs[:-1]:
            y = torch.relu(conv(y))
        return x + functional.pixel_shuffle(self.convs[-1](y), 2)
