"""Small U-Net on half-resolution channels: dense 3x3 convolutions, no normalisation, no bias."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 3
"""Resolutions below the pixels': 1/2, 1/4 and 1/8."""
STRIDE = 2**LEVELS


class UNetDenoiser(nn.Module):
    """DRUNet's design (Zhang et al. 2021) behind a PixelUnshuffle, as in FFDNet (Zhang et al. 2018).

    Pixel blocks of 2x2 become channels, which makes every convolution four times cheaper; then ``LEVELS``
    levels of width, 2 x width and 4 x width channels with residual blocks, 2x2 strided convolutions down,
    2x2 transposed ones up, and additive skips. The network adds a correction to its input. Without biases it
    is homogeneous (f(a x, a sigma) = a f(x, sigma)), so it carries over to noise it was not trained on
    (Mohan et al. 2020).

    Args:
        channels: of the images.
        width: channels of the first level.
        blocks: residual blocks per level, on the way down and on the way up.
        blind: without the noise map.
    """

    def __init__(self, channels: int, width: int, blocks: int, *, blind: bool) -> None:
        """Build the layers."""
        super().__init__()
        self.blind = blind
        widths = [width * 2**level for level in range(LEVELS)]
        self.head = _convolution(4 * channels + (0 if blind else 1), width)
        self.down = nn.ModuleList(_stage(features, blocks) for features in widths[:-1])
        self.shrink = nn.ModuleList(
            nn.Conv2d(features, 2 * features, 2, stride=2, bias=False) for features in widths[:-1]
        )
        self.body = _stage(widths[-1], blocks)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(2 * features, features, 2, stride=2, bias=False) for features in widths[:-1]
        )
        self.up = nn.ModuleList(_stage(features, blocks) for features in widths[:-1])
        self.tail = _convolution(width, 4 * channels)

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Return the denoised images, not clamped.

        Args:
            x: (n, channels, h, w) with sides divisible by 8.
            sigma: standard deviation of the noise for values in [0, 1], (n, 1, 1, 1), or (n, 1, h / 2, w / 2)
                where it differs from place to place; None for a blind network.

        Raises:
            ValueError: the network is not blind and ``sigma`` is missing.
        """
        y = functional.pixel_unshuffle(x, 2)
        if not self.blind:
            if sigma is None:
                raise ValueError("a network with a noise map needs sigma")
            y = torch.cat([y, sigma.to(y.dtype).expand(y.shape[0], 1, y.shape[2], y.shape[3])], dim=1)
        y = self.head(y)
        kept = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            y = stage(y)
            kept.append(y)
            y = shrink(y)
        y = self.body(y)
        for level in reversed(range(LEVELS - 1)):
            y = self.up[level](self.grow[level](y) + kept[level])
        return x + functional.pixel_shuffle(self.tail(y), 2)

    def init_weights(self) -> None:
        """Start as the identity: no correction, and residual blocks that add nothing."""
        nn.init.zeros_(self.tail.weight)


class Block(nn.Module):
    """Convolution, ReLU, convolution, added to the input."""

    def __init__(self, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, width, h, w) for the same shape."""
        out: Tensor = x + self.second(functional.relu(self.first(x)))
        return out

    def init_weights(self) -> None:
        """Start small, so that a deep stack neither grows nor vanishes."""
        self.second.weight.mul_(0.1)


def reach(blocks: int) -> int:
    """Return the largest distance in pixels between an output pixel and an input pixel that it depends on."""
    return max(max(pixel - low, high - pixel) for pixel, low, high in _spans(blocks))


def _spans(blocks: int) -> Iterator[tuple[int, int, int]]:
    """Yield (output pixel, first, last input pixel) for every position on the grid of the coarsest level."""
    step = 2 * blocks
    for pixel in range(8 * STRIDE, 9 * STRIDE):
        low = high = pixel // 2
        low, high = low - 1 - step, high + 1 + step
        for _ in range(LEVELS - 2):
            low, high = low // 2 - step, high // 2 + step
        low, high = low // 2 - step, high // 2 + step
        for _ in range(LEVELS - 1):
            low, high = 2 * low - step, 2 * high + 1 + step
        yield pixel, 2 * (low - 1), 2 * (high + 1) + 1


def _convolution(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(blocks)))
