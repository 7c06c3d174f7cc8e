"""Non-blind deconvolution with a trained denoiser as the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.spec import Number
from clearsight.restore.named_network import DenoiserPrior
from clearsight.restore.ops.psf import GaussianKernel, Kernel

if TYPE_CHECKING:
    from torch import nn

COARSEST = 49 / 255
"""Noise level that the denoiser is given in the first step (Zhang et al. 2021)."""


class PlugAndPlay(DenoiserPrior):
    """Deconvolution by half-quadratic splitting with a denoiser (IRCNN, Zhang et al. 2017; DPIR, 2021).

    It alternates between the equation of the blur, solved exactly, and a denoiser whose noise level falls
    from 49/255 to ``sigma``; it starts from the Wiener filter's result. The blur must be known; an error in
    it acts like noise, so a kernel that is only roughly right needs a larger ``sigma``.
    """

    onnx: ClassVar[str] = "onnxruntime's Fourier transforms are 3e-4 off after two steps"
    purpose: ClassVar[str] = "undoes a known blur with a trained denoiser as the prior"
    conditioning: ClassVar[frozenset[str]] = frozenset({"kernel", "noise_level"})

    kind: Literal["plug_and_play"] = "plug_and_play"
    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    sigma: Annotated[Number, Field(gt=0, le=1)] = 2 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    iterations: Annotated[int, Field(ge=1, le=100)] = 8
    """Steps; each runs the denoiser once."""
    weight: Annotated[Number, Field(gt=0, le=10)] = 0.23
    """Weight of the denoiser against the data: larger gives smoother images."""
    border_rounds: Annotated[int, Field(ge=1, le=20)] = 8
    """How often, in every step, the blurred scene beyond the borders is estimated again."""

    def network(self) -> nn.Module:
        """Return the iteration with the denoisers' weights loaded."""
        import numpy as np

        from clearsight.restore.classical.wiener import Wiener
        from clearsight.restore.networks.plug_and_play import PlugAndPlay as Iteration

        steps = np.geomspace(self.sigma, max(COARSEST, self.sigma), self.iterations)
        levels = [float(level) for level in steps[::-1]]
        pulls = [self.weight * self.sigma**2 / level**2 for level in levels]
        start = Wiener(kernel=self.kernel, sigma=self.sigma).network()
        denoisers = {}
        for channels in (3, 1):
            spec = self.prior(channels)
            if spec is None:
                continue
            denoisers[channels] = spec.build()
            if denoisers[channels].facts.channels != (channels,):
                raise WeightsError(
                    f"the denoiser takes {denoisers[channels].facts.channels} channels, not {channels}",
                    where=f"{self.name} '{spec.weights}'",
                )
        return Iteration(self.kernel.taps(), levels, pulls, start, denoisers, self.border_rounds)
