"""Wiener deconvolution of a blur that is found in the image itself."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.restore.base import RestorerFacts
from clearsight.restore.blind_deconvolution import BlindDeconvolution
from clearsight.restore.ops.psf import Kernel

if TYPE_CHECKING:
    from torch import nn


class BlindWiener(BlindDeconvolution):
    """Finds defocus, Gaussian or motion blur in each image's spectrum and undoes it; spares sharp images.

    A Wiener filter (`wiener`) for the blur and for the noise of the image; nothing is learned, so no kind of
    photograph is strange to it. How a blur is found: `BlindDeconvolution`.
    """

    kind: Literal["blind_wiener"] = "blind_wiener"
    revision: ClassVar[int] = 3
    purpose: ClassVar[str] = (
        "undoes defocus, Gaussian and motion blur that it finds; leaves sharp images alone"
    )

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of the filter, the blur being known beforehand."""
        from clearsight.restore.classical.wiener import Wiener
        from clearsight.restore.ops.psf import DiskKernel, FadingMotionKernel
        from clearsight.restore.ops.spectral_blur import RADII
        from clearsight.restore.ops.spectral_motion import SIGMAS

        if self.kernel == "none":
            return RestorerFacts(receptive_field=1)
        kernel: Kernel = DiskKernel(radius=RADII[-1])
        if self.kernel != "auto":
            kernel = self.kernel
        elif self.motion:
            kernel = FadingMotionKernel(sigma=SIGMAS[-1])
        return RestorerFacts(receptive_field=Wiener(kernel=kernel).facts.receptive_field)

    def undoing(self, kernel: Kernel, sigma: float) -> nn.Module:
        """Return the Wiener filter."""
        return _filter(kernel, sigma)


@lru_cache(maxsize=128)
def _filter(kernel: Kernel, sigma: float) -> nn.Module:
    """Return the Wiener filter of a blur; its design takes longer than its use."""
    from clearsight.restore.classical.wiener import Wiener

    module = Wiener(kernel=kernel, sigma=sigma).network()
    module.requires_grad_(requires_grad=False)
    return module
