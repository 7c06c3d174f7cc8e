"""Enlarging by cubic convolution as one convolution: the start from which the super-resolvers learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = -0.5
"""Keys' a: slope of the cubic kernel at distance one."""
REACH = 2
"""Pixels of the small image to either side that count."""


class Cubic(nn.Module):
    """Cubic convolution (Keys 1981, a = -0.5, MATLAB's ``imresize``), pixel centres aligned.

    Borders are replicated. A fixed convolution exports to ONNX as such; runtimes differ in their resizing.

    Args:
        scale: output size / input size.
        channels: of the images.
    """

    kernels: Tensor

    def __init__(self, scale: int, channels: int = 3) -> None:
        """Make room for the kernels."""
        super().__init__()
        self.scale, self.channels = scale, channels
        side = 2 * REACH + 1
        kernels = torch.empty(channels * scale**2, 1, side, side)
        self.register_buffer("kernels", kernels, persistent=False)

    def init_weights(self) -> None:
        """Set the kernels: nothing here is learned."""
        at = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
        phases = (torch.arange(self.scale, dtype=torch.float64) + 0.5) / self.scale - 0.5
        t = (at - phases[:, None]).abs()
        near = (SLOPE + 2) * t**3 - (SLOPE + 3) * t**2 + 1
        far = SLOPE * (t**3 - 5 * t**2 + 8 * t - 4)
        taps = torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
        both = taps[:, None, :, None] * taps[None, :, None, :]
        self.kernels.copy_(both.flatten(0, 1)[:, None].repeat(self.channels, 1, 1, 1))

    def phases(self, x: Tensor) -> Tensor:
        """Return the enlarged images before the pixels are shuffled, (n, c scale^2, h, w)."""
        around = functional.pad(x, (REACH,) * 4, mode="replicate")
        return functional.conv2d(around, self.kernels, groups=self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h scale, w scale) for (n, c, h, w)."""
        return functional.pixel_shuffle(self.phases(x), self.scale)


def reach(scale: int, pixels: int) -> int:
    """Return the reach in small pixels, cubic kernel included, for a reach of ``pixels`` enlarged ones."""
    return -(-pixels // scale) + REACH
