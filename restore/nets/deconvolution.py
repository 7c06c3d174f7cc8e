"""Modules with fixed kernels: a linear filter, and the iteration of Richardson and Lucy."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restore.filtering import convolve, extend


class LinearFilter(nn.Module):
    """Convolution of every channel with one kernel; images are mirrored at their borders.

    Args:
        taps: (2 r + 1, 2 r + 1).
    """

    taps: Tensor

    def __init__(self, taps: NDArray) -> None:
        """Keep the kernel as a constant that moves with the module."""
        super().__init__()
        self.register_buffer("taps", torch.from_numpy(taps).to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) for (n, c, h, w)."""
        return convolve(extend(x, self.taps.shape[0] // 2), self.taps.to(x.dtype))


class RichardsonLucy(nn.Module):
    """Multiplicative fixed-point iteration towards the maximum-likelihood picture under Poisson noise.

    ``u <- u * K^T (y / K u)`` with the blur K (Richardson 1972, Lucy 1974), started at the observation y.
    The picture is first mirrored beyond its borders, so that what the blur brought in from outside has a
    place to go; otherwise it would build up as a bright frame.

    Args:
        taps: the blur, (2 r + 1, 2 r + 1), non-negative, sum 1.
        iterations: number of steps.
    """

    taps: Tensor

    def __init__(self, taps: NDArray, iterations: int) -> None:
        """Keep the kernel as a constant that moves with the module."""
        super().__init__()
        self.iterations = iterations
        self.register_buffer("taps", torch.from_numpy(taps).to(torch.float32), persistent=False)

    @property
    def margin(self) -> int:
        """Return the pixels that are added on each side."""
        return int(self.taps.shape[0]) - 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) for (n, c, h, w) with values >= 0."""
        taps = self.taps.to(x.dtype)
        back, radius = taps.flip(0, 1), taps.shape[0] // 2
        height, width = x.shape[2:]
        # Above zero, or black pixels would divide by zero.
        observed = extend(x, self.margin).clamp_min(1e-4)
        estimate = observed
        for _ in range(self.iterations):
            blurred = convolve(extend(estimate, radius), taps).clamp_min(1e-4)
            estimate = estimate * convolve(extend(observed / blurred, radius), back).clamp_min(0.0)
        inside = estimate[:, :, self.margin : self.margin + height, self.margin : self.margin + width]
        return inside
