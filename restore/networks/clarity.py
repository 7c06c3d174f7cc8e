"""`Clarity`: a U-Net on half-resolution channels that sees the whole image's statistics and can abstain."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearsight.restore.networks.pooling import mean_and_spread
from clearsight.restore.networks.unet_denoiser import Block

LEVELS = 3
"""Resolutions below the pixels': 1/2, 1/4 and 1/8."""
STRIDE = 2**LEVELS
FLOOR = 0.02
"""Added to the standard deviation that an image is divided by: a uniform image stays finite."""
LOG_GAIN = 3.5
"""Bound of the logarithm of the contrast that the network may set: up to 33 times as much."""


class Clarity(nn.Module):
    """Global tone, local detail, and how much of both: ``x + a (tone(x) + detail - x)``.

    What hides an image from a classifier is partly global (exposure, contrast, haze) and partly local (noise,
    blur, blocks). The image is standardised by its own mean and contrast, so that a pale one looks to the
    convolutions like any other. A U-Net (PixelUnshuffle, three levels, additive skips, as `UNetDenoiser`)
    gives the local detail; its deepest features and the statistics, pooled over the image, set

    - a scale and an offset for every channel on the way up (Perez et al. 2018, FiLM),
    - the colour, brightness and contrast that the image is given back.

    The amount ``a`` in (0, 1) is predicted for every pixel: an undamaged image can be left alone. It is a
    sigmoid, not a function that reaches 0: a gate that closes completely in the first steps never opens
    again (observed within 500 steps). A sigmoid is also driven to 0 where a network starts out doing harm
    (observed within 300 steps: weights of small images on photographs); a ``least_amount`` above 0 keeps the
    way back open. A fresh network is the identity.

    Args:
        channels: of the images.
        width: channels of the first level; the next ones have 2 and 4 times as many.
        deep: residual blocks at the lowest resolution, where they cost least.
        hidden: units between the pooled features and what they set.
        least_amount: lower bound of ``a``, 0 or more and below 1.
    """

    def __init__(self, channels: int, width: int, deep: int, hidden: int, least_amount: float = 0.0) -> None:
        """Build the layers."""
        super().__init__()
        self.channels, self.least_amount = channels, least_amount
        widths = [width * 2**level for level in range(LEVELS)]
        upper = widths[:-1]
        self.head = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.down = nn.ModuleList(Block(count) for count in upper)
        self.shrink = nn.ModuleList(nn.Conv2d(count, 2 * count, 2, stride=2) for count in upper)
        self.body = nn.Sequential(*(Block(widths[-1]) for _ in range(deep)))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * count, count, 2, stride=2) for count in upper)
        self.up = nn.ModuleList(Block(count) for count in upper)
        self.tail = nn.Conv2d(width, 4 * channels + 4, 3, padding=1)
        # Of every image: mean and deviation of the deepest features, its own means, and its contrast.
        self.sense = nn.Linear(2 * widths[-1] + channels + 1, hidden)
        self.modulate = nn.ModuleList(nn.Linear(hidden, 2 * count) for count in widths)
        self.tone = nn.Linear(hidden, channels + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored images, not clamped.

        Args:
            x: (n, channels, h, w) with sides divisible by 8.
        """
        means = x.mean(dim=(2, 3), keepdim=True)
        contrast = (x - means).square().mean(dim=(1, 2, 3), keepdim=True).add(1e-8).sqrt() + FLOOR
        standard = (x - means) / contrast
        y = self.head(functional.pixel_unshuffle(standard, 2))
        skips = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            y = stage(y)
            skips.append(y)
            y = shrink(y)
        y = self.body(y)
        z = self._sensed(y, means, contrast)
        y = _modulated(y, self.modulate[LEVELS - 1](z))
        for level in reversed(range(LEVELS - 1)):
            y = self.up[level](_modulated(self.grow[level](y) + skips[level], self.modulate[level](z)))
        detail, amount = self.tail(y).split((4 * self.channels, 4), dim=1)
        shift, log_gain = self.tone(z)[:, :, None, None].split((self.channels, 1), dim=1)
        gain = contrast * (LOG_GAIN * torch.tanh(log_gain / LOG_GAIN)).exp()
        clear = means + shift + gain * (standard + functional.pixel_shuffle(detail, 2))
        share = torch.sigmoid(functional.pixel_shuffle(amount, 2))
        if self.least_amount:
            share = self.least_amount + (1.0 - self.least_amount) * share
        out: Tensor = x + share * (clear - x)
        return out

    def _sensed(self, y: Tensor, means: Tensor, contrast: Tensor) -> Tensor:
        """Return features of the whole image, (n, hidden)."""
        facts = torch.cat([*mean_and_spread(y), means.flatten(1), contrast.flatten(1)], dim=1)
        return functional.relu(self.sense(facts))

    def init_weights(self) -> None:
        """Start as the identity: no detail, tone and features as they are, three quarters of the amount."""
        for layer in (self.tail, self.tone, *self.modulate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.tail.bias[4 * self.channels :] = 1.0  # type: ignore[index]


def _modulated(y: Tensor, terms: Tensor) -> Tensor:
    """Return ``y`` (n, c, h, w) with each channel scaled and shifted by ``terms`` (n, 2 c)."""
    scale, offset = terms[:, :, None, None].chunk(2, dim=1)
    return y * (1.0 + scale) + offset
