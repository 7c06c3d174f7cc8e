"""Half-quadratic splitting: a known blur is undone with a denoiser as the image prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional

from clearsight.restore.ops.filtering import extend

if TYPE_CHECKING:
    from clearsight.restore.restorer import Restorer

STRIDE = 8
"""Sides of the canvas are multiples of this, so that denoisers need not pad it."""


class PlugAndPlay(nn.Module):
    """Alternates between the blur's equation and a denoiser (Zhang et al. 2017, 2021).

    For every denoiser level s of a falling schedule: ``u = argmin |k * u - y|^2 + a |u - z|^2`` with
    ``a = weight noise^2 / s^2``, in closed form by Fourier transforms, then ``z = denoiser(u, s)``.

    The transforms treat the image as periodic, and the blur has mixed in what lies beyond its borders. So
    the iteration runs on a canvas with a margin, where y is unknown: there it is the blur of the latest
    estimate, which makes the error of the wrap and of the mirrored start fade (expectation-maximisation for
    missing data, as in `InverseFilter`).

    Args:
        blur: (2 b + 1, 2 b + 1), sum 1.
        levels: noise levels that the denoiser is given, one a step, > 0.
        pulls: weight a of each step, > 0.
        start: module that gives the first estimate.
        denoisers: number of channels -> restorer with a noise map. Where there is none for an image's
            number of channels, a colour denoiser gets a grey image repeated three times.
        rounds: how often, in every step, y beyond the borders is estimated again, >= 1.
    """

    blur: Tensor

    def __init__(
        self,
        blur: NDArray[np.float64],
        levels: Sequence[float],
        pulls: Sequence[float],
        start: nn.Module,
        denoisers: Mapping[int, Restorer],
        rounds: int,
    ) -> None:
        """Keep the kernel as a constant that moves with the module."""
        super().__init__()
        self.levels, self.pulls = tuple(levels), tuple(pulls)
        self.start = start
        self.rounds = rounds
        self.denoisers = nn.ModuleDict({str(channels): each for channels, each in denoisers.items()})
        self.register_buffer("blur", torch.from_numpy(blur).to(torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c, h, w) for (n, c, h, w), not clamped."""
        height, width = x.shape[2:]
        margin = self.blur.shape[0]
        around = [margin, self._after(width), margin, self._after(height)]
        inside = functional.pad(torch.ones_like(x[:1, :1]), around)
        observed = functional.pad(x, around)
        size = (observed.shape[2], observed.shape[3])
        response = self._response(size, x)
        power = response.abs().square()
        estimate = extend(self.start(x), max(around))
        skip = max(around) - margin
        estimate = estimate[:, :, skip : skip + size[0], skip : skip + size[1]]
        spectrum = torch.fft.rfft2(estimate)
        for level, pull in zip(self.levels, self.pulls, strict=True):
            solved = spectrum
            for _ in range(self.rounds):
                beyond = torch.fft.irfft2(solved * response, s=size)
                seen = torch.fft.rfft2(torch.lerp(beyond, observed, inside))
                solved = (response.conj() * seen + pull * spectrum) / (power + pull)
            estimate = self._denoise(torch.fft.irfft2(solved, s=size), level)
            spectrum = torch.fft.rfft2(estimate)
        return estimate[:, :, margin : margin + height, margin : margin + width]

    def _after(self, size: int) -> int:
        """Return the pixels added behind an axis: the margin, and up to a size quick to transform."""
        margin = self.blur.shape[0]
        blocks = -(-(size + 2 * margin) // STRIDE)
        # Symbolic sizes have no prime factors to look for.
        if not torch.compiler.is_compiling():
            blocks = next_fast_len(blocks, real=True)
        return STRIDE * blocks - size - margin

    def _response(self, size: tuple[int, int], x: Tensor) -> Tensor:
        """Return the blur's response on the canvas, (h, w // 2 + 1) complex."""
        side = self.blur.shape[0]
        placed = functional.pad(self.blur.to(x.dtype), (0, size[1] - side, 0, size[0] - side))
        response: Tensor = torch.fft.rfft2(placed.roll((-(side // 2), -(side // 2)), dims=(0, 1)))
        return response

    def _denoise(self, x: Tensor, level: float) -> Tensor:
        """Return the denoiser's estimate for noise of this standard deviation."""
        told = x.new_full((x.shape[0], 1, 1, 1), level)
        own = str(x.shape[1])
        if own in self.denoisers:
            return cast("Restorer", self.denoisers[own]).restored(x, told)
        colour = cast("Restorer", self.denoisers["3"])
        grey: Tensor = colour.restored(x.expand(-1, 3, -1, -1), told).mean(dim=1, keepdim=True)
        return grey
