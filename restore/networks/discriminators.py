"""Discriminators that judge every part of an image by itself (PatchGAN), without normalisation."""

from __future__ import annotations

from math import sqrt

from torch import Tensor, nn


class PatchDiscriminator(nn.Sequential):
    """4x4 convolutions with LeakyReLU 0.2 (Isola et al. 2017; EnlightenGAN leaves out the norms).

    ``layers`` convolutions of stride 2, one of stride 1, and one to a single channel of scores. The global
    discriminator of EnlightenGAN has 5 layers, its local one 4, both with 64 filters.

    Args:
        layers: convolutions of stride 2, at least 1.
        filters: channels of the first; they double up to 8 times as many.
        channels: of the images.
    """

    def __init__(self, layers: int, filters: int = 64, channels: int = 3) -> None:
        """Make the layers."""
        widths = [filters * min(2**place, 8) for place in range(layers + 1)]
        steps: list[nn.Module] = []
        for place, (source, own) in enumerate(zip([channels, *widths[:-1]], widths, strict=True)):
            stride = 2 if place < layers else 1
            steps += [nn.Conv2d(source, own, 4, stride=stride, padding=2), nn.LeakyReLU(0.2)]
        super().__init__(*steps, nn.Conv2d(widths[-1], 1, 4, padding=2))

    def init_weights(self) -> None:
        """Scale the last convolution to its many inputs: for its one output it would be far too large."""
        last = self[-1]
        if isinstance(last, nn.Conv2d):
            last.weight.mul_(1.0 / sqrt(last.in_channels))

    def forward(self, input: Tensor) -> Tensor:
        """Return unbounded scores (n, 1, rows, columns) of images (n, channels, h, w) in [0, 1]."""
        x = 2.0 * input - 1.0
        for layer in self:
            x = layer(x)
        return x
