"""Deconvolution of a blur that is found in the image itself, with a trained denoiser as the prior."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.blind_deconvolution import BlindDeconvolution
from clearsight.restore.learned.plug_and_play import PlugAndPlay
from clearsight.restore.named_network import DenoiserPrior
from clearsight.restore.ops.psf import Kernel

if TYPE_CHECKING:
    from torch import nn


class BlindPlugAndPlay(DenoiserPrior, BlindDeconvolution):
    """Finds defocus, Gaussian or motion blur in each image, undoes it with a denoiser; spares sharp images.

    As `blind_wiener`, with the iteration of `plug_and_play` in place of the filter: better, and the denoiser
    runs ``iterations`` times for an image that is blurred. How a blur is found: `BlindDeconvolution`.
    """

    kind: Literal["blind_plug_and_play"] = "blind_plug_and_play"
    revision: ClassVar[int] = 2
    purpose: ClassVar[str] = "undoes blur that it finds, with a trained denoiser; leaves sharp images alone"

    iterations: Annotated[int, Field(ge=1, le=100)] = 4
    """Steps; each runs the denoiser once."""
    border_rounds: Annotated[int, Field(ge=1, le=20)] = 4
    """How often, in every step, the blurred scene beyond the borders is estimated again."""
    denoiser: str | None = "denoise-color-v2"
    """Id or folder of a colour denoiser's weights, whose network must take a noise map; null: none, and only
    grey images are accepted."""

    def undoing(self, kernel: Kernel, sigma: float) -> nn.Module:
        """Return the iteration."""
        return _iteration(
            PlugAndPlay(
                kernel=kernel,
                sigma=sigma,
                iterations=self.iterations,
                border_rounds=self.border_rounds,
                denoiser=self.denoiser,
                denoiser_gray=self.denoiser_gray,
            )
        )


@lru_cache(maxsize=4)
def _iteration(told: PlugAndPlay) -> nn.Module:
    """Return the iteration for a blur, with its denoisers' weights."""
    module = told.network()
    module.requires_grad_(requires_grad=False)
    return module
