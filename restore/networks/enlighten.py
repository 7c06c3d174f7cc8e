"""The generator of EnlightenGAN: a U-Net whose attention is the darkness of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5
SLOPE = 0.2
LUMA = (0.299, 0.587, 0.114)


class EnlightenNet(nn.Module):
    """Attention-guided U-Net of EnlightenGAN (Jiang et al. 2021, arXiv:1906.06972).

    Five levels of two 3x3 convolutions, each followed by LeakyReLU 0.2 and batch normalisation in this order,
    max-pooling between them, bilinear enlargement and a 3x3 convolution on the way up. The last 3x3
    convolution has no normalisation; a 1x1 convolution makes three channels. The darkness A = 1 - luma,
    max-pooled to each level, multiplies the bottleneck (between its two convolutions), every skip and the
    result, which is added to the input.

    A fresh network is the identity: the last convolution starts at zero, so training starts from the image
    and not from noise.

    Args:
        width: channels of the first level; the others have 2, 4, 8 and 16 times as many.
    """

    def __init__(self, width: int = 32) -> None:
        """Make the layers."""
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        sources = [4, *widths[:-1]]
        self.down = nn.ModuleList(
            _Level(source, own) for source, own in zip(sources[:-1], widths[:-1], strict=True)
        )
        self.bottom = _Level(sources[-1], widths[-1])
        self.shrink = nn.ModuleList(nn.Conv2d(2 * own, own, 3, padding=1) for own in widths[:-1])
        self.up = nn.ModuleList(
            _Level(2 * own, own, last=level == 0) for level, own in enumerate(widths[:-1])
        )
        self.last = nn.Conv2d(width, 3, 1)

    def init_weights(self) -> None:
        """Start at the identity."""
        self.last.weight.zero_()
        if self.last.bias is not None:
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Enlighten images.

        Args:
            x: (n, 3, h, w) in [0, 1], height and width multiples of 16.

        Returns:
            (n, 3, h, w); values may leave [0, 1].
        """
        dark = darkness(x)
        attention = [dark]
        for _ in range(LEVELS - 1):
            attention.append(functional.max_pool2d(attention[-1], 2))
        # The network itself works on [-1, 1], as its authors run it.
        y = torch.cat((2.0 * x - 1.0, dark), dim=1)
        skips = []
        for level in self.down:
            y = level(y)
            skips.append(y)
            y = functional.max_pool2d(y, 2)
        y = self.bottom(y, attention[-1])
        for place in reversed(range(LEVELS - 1)):
            y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = torch.cat((self.shrink[place](y), skips[place] * attention[place]), dim=1)
            y = self.up[place](y)
        # Half, because the result counts in [-1, 1].
        out: Tensor = x + 0.5 * self.last(y) * dark
        return out


class _Level(nn.Module):
    """Two 3x3 convolutions with LeakyReLU and batch normalisation; the last level's second has no norm."""

    def __init__(self, source: int, width: int, *, last: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(source, width, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = nn.Identity() if last else nn.BatchNorm2d(width)

    def forward(self, x: Tensor, attention: Tensor | None = None) -> Tensor:
        x = self.first_norm(functional.leaky_relu(self.first(x), SLOPE))
        if attention is not None:
            x = x * attention
        out: Tensor = self.second_norm(functional.leaky_relu(self.second(x), SLOPE))
        return out


def darkness(x: Tensor) -> Tensor:
    """Return 1 - luma (BT.601, full range) of RGB images (n, 3, h, w) in [0, 1], as (n, 1, h, w)."""
    weights = x.new_tensor(LUMA).view(1, 3, 1, 1)
    return 1.0 - (x * weights).sum(dim=1, keepdim=True)
