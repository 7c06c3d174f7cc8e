"""Wiener deconvolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.ops.psf import GaussianKernel, Kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class Wiener(RestorerSpec):
    """Linear filter of least mean squared error for a known blur and known noise (Wiener 1949).

    Its response is ``conj(H) / (|H|^2 + N / S)``. The power N of the noise is ``sigma``^2 at every frequency;
    the power S of natural images falls with the square of the frequency f (Field 1987), scaled so that the
    frequencies from 1/256 to 1/2 cycles a pixel hold the variance ``contrast``^2.
    """

    kind: Literal["wiener"] = "wiener"
    purpose: ClassVar[str] = "undoes a known blur; set by the noise of the camera"

    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    sigma: Annotated[Number, Field(gt=0, le=1)] = 2 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    contrast: Annotated[Number, Field(gt=0, le=1)] = 0.15
    """Standard deviation of the images' values."""

    border_rounds: Annotated[int, Field(ge=0, le=5)] = 2
    """How often the scene beyond the borders is estimated again; 0 takes it for a mirror image, 2 is best."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of the inverse filter, and of blur and filter in every round."""
        from clearsight.restore.ops.inverse_filter import filter_radius

        side = self.kernel.taps().shape[0]
        inverse = filter_radius(side)
        reach = inverse + self.border_rounds * (side // 2 + inverse)
        return RestorerFacts(receptive_field=2 * reach + 1)

    def _taps(self) -> NDArray[np.float64]:
        from clearsight.restore.ops.inverse_filter import frequencies, inverse_filter

        # Integral of A / f^2 over the ring 1/256 <= f <= 1/2 is 2 pi A ln 128 = contrast^2.
        amplitude = self.contrast**2 / (2.0 * math.pi * math.log(128.0))
        return inverse_filter(self.kernel.taps(), self.sigma**2 * frequencies() / amplitude)

    def network(self) -> nn.Module:
        """Return the module with both kernels; nothing in it is learned."""
        from clearsight.restore.networks.deconvolution import InverseFilter

        return InverseFilter(self.kernel.taps(), self._taps(), self.border_rounds)
