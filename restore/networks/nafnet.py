"""NAFNet (Chen et al. 2022): a U-Net of gated blocks without other non-linearities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of every pixel."""

    def __init__(self, width: int) -> None:
        """Make gain and shift."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))

    def init_weights(self) -> None:
        """Start as plain standardisation."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape (n, width, h, w)."""
        # Channels last and back: one node in ONNX in place of nine.
        last = x.permute(0, 2, 3, 1)
        normal = functional.layer_norm(last, (x.shape[1],), self.weight, self.bias, eps=1e-6)
        return normal.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Depthwise convolution and channel attention, then a pointwise network; each gated, each added.

    Args:
        width: channels in and out.
    """

    def __init__(self, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.norm1, self.norm2 = LayerNorm2d(width), LayerNorm2d(width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.empty(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.empty(1, width, 1, 1))

    def init_weights(self) -> None:
        """Start as the identity."""
        nn.init.zeros_(self.beta)
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, width, h, w) for the same."""
        y = _gate(self.depthwise(self.expand(self.norm1(x))))
        # A mean over both axes, not adaptive pooling: it exports to ONNX with dynamic height and width.
        y = self.project(y * self.attention(y.mean((2, 3), keepdim=True)))
        x = x + y * self.beta
        out: Tensor = x + self.narrow(_gate(self.widen(self.norm2(x)))) * self.gamma
        return out


class NAFNet(nn.Module):
    """U-Net: strided 2x2 convolutions down, PixelShuffle up, additive skips; adds to its input.

    Args:
        channels: of the images.
        width: channels of the first level; every further one has twice as many.
        encoder: blocks of each level on the way down.
        middle: blocks at the lowest resolution.
        decoder: blocks of each level on the way up, lowest resolution first.
    """

    def __init__(
        self, channels: int, width: int, encoder: Sequence[int], middle: int, decoder: Sequence[int]
    ) -> None:
        """Make the layers."""
        super().__init__()
        widths = [width * 2**level for level in range(len(encoder) + 1)]
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels, 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, encoder, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1])
        self.middle = _blocks(widths[-1], middle)
        self.ups = nn.ModuleList(nn.Conv2d(w, 2 * w, 1, bias=False) for w in widths[:0:-1])
        below = widths[-2::-1]
        self.decoders = nn.ModuleList(_blocks(w, n) for w, n in zip(below, decoder, strict=True))

    def init_weights(self) -> None:
        """Start as the identity."""
        nn.init.zeros_(self.ending.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, h, w); height and width are multiples of 2 ** levels."""
        y = self.intro(x)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            y = encoder(y)
            skips.append(y)
            y = down(y)
        y = self.middle(y)
        for decoder, up, skip in zip(self.decoders, self.ups, reversed(skips), strict=True):
            y = decoder(functional.pixel_shuffle(up(y), 2) + skip)
        missing: Tensor = self.ending(y)
        return x + missing


def _gate(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=1)
    return a * b


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))
