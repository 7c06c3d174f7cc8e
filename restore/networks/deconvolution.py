"""Deconvolution with fixed kernels: a linear inverse filter, and the iteration of Richardson and Lucy.

Both estimate the scene beyond the image's borders, which the blur has mixed into it; a wrong assumption
there would ring through the whole image.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clearsight.restore.ops.filtering import convolve, extend

DARKEST = 1e-4
"""Least value of a blurred image, so that black pixels do not divide by zero."""


class InverseFilter(nn.Module):
    """Convolution with an inverse filter, and estimation of the scene beyond the borders.

    The surroundings start as the mirrored image; then, a few times, the restored image is blurred again
    and its surroundings take the place of the mirrored ones (expectation-maximisation for missing data).

    Args:
        blur: (2 b + 1, 2 b + 1), sum 1.
        inverse: (2 r + 1, 2 r + 1), sum 1.
        rounds: number of times that the surroundings are estimated again.
    """

    blur: Tensor
    inverse: Tensor

    def __init__(self, blur: NDArray[np.float64], inverse: NDArray[np.float64], rounds: int) -> None:
        """Keep the kernels as constants that move with the module."""
        super().__init__()
        self.rounds = rounds
        self.register_buffer("blur", torch.from_numpy(blur).to(torch.float32), persistent=False)
        self.register_buffer("inverse", torch.from_numpy(inverse).to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) for (n, c, h, w)."""
        margin, reach = self.blur.shape[0], self.inverse.shape[0] // 2
        blur, inverse = self.blur.to(x.dtype), self.inverse.to(x.dtype)
        height, width = x.shape[2:]
        observed = extend(x, margin)
        image = functional.pad(torch.ones_like(x), (margin,) * 4)
        restored = convolve(extend(observed, reach), inverse)
        for _ in range(self.rounds):
            again = convolve(extend(restored, blur.shape[0] // 2), blur).clamp(0.0, 1.0)
            restored = convolve(extend(torch.lerp(again, observed, image), reach), inverse)
        return restored[:, :, margin : margin + height, margin : margin + width]


class RichardsonLucy(nn.Module):
    """Multiplicative fixed-point iteration towards the maximum-likelihood image under Poisson noise.

    ``u <- u * K^T (y / K u) / K^T 1`` with the blur K (Richardson 1972, Lucy 1974), where u covers the
    borders that the blur has brought into the image (Bertero and Boccacci 2005); started at y.

    Args:
        taps: the blur, (2 b + 1, 2 b + 1), non-negative, sum 1.
        iterations: number of steps.
    """

    taps: Tensor

    def __init__(self, taps: NDArray[np.float64], iterations: int) -> None:
        """Keep the kernel as a constant that moves with the module."""
        super().__init__()
        self.iterations = iterations
        self.register_buffer("taps", torch.from_numpy(taps).to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) with values >= 0 for (n, c, h, w)."""
        taps = self.taps.to(x.dtype)
        back, radius = taps.flip(0, 1), taps.shape[0] // 2
        around = (2 * radius,) * 4
        height, width = x.shape[2:]
        # Where the image does not reach, rounding errors would be amplified.
        seen = convolve(functional.pad(torch.ones_like(x[:1, :1]), around), back).clamp_min(1e-4)
        estimate = extend(x, radius).clamp_min(DARKEST)
        for _ in range(self.iterations):
            ratio = x / convolve(estimate, taps).clamp_min(DARKEST)
            # The Fourier transform may leave zeros slightly negative.
            estimate = estimate * convolve(functional.pad(ratio, around), back).clamp_min(0.0) / seen
        return estimate[:, :, radius : radius + height, radius : radius + width]
