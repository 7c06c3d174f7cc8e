"""What restorers that undo a known blur by one linear filter have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.ops.psf import GaussianKernel, Kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class LinearDeconvolution(RestorerSpec):
    """Base: a finite inverse filter, designed beforehand, and an estimate of the scene beyond the borders."""

    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    border_rounds: Annotated[int, Field(ge=0, le=5)] = 2
    """How often the scene beyond the borders is estimated again; 0 assumes a mirror image, 2 works best."""

    @abstractmethod
    def penalty_spectrum(self) -> NDArray[np.float64]:
        """Return the penalty at each frequency of the design's grid, for `inverse_filter`."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of the inverse filter, and of blur and filter in every round."""
        from clearsight.restore.ops.inverse_filter import filter_radius

        side = self.kernel.taps().shape[0]
        inverse = filter_radius(side)
        reach = inverse + self.border_rounds * (side // 2 + inverse)
        return RestorerFacts(receptive_field=2 * reach + 1)

    def network(self) -> nn.Module:
        """Return the module with both kernels; nothing in it is learned."""
        from clearsight.restore.networks.deconvolution import InverseFilter
        from clearsight.restore.ops.inverse_filter import inverse_filter

        taps = self.kernel.taps()
        return InverseFilter(taps, inverse_filter(taps, self.penalty_spectrum()), self.border_rounds)
