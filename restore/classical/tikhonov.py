"""Tikhonov-regularised deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.ops.psf import GaussianKernel, Kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class Tikhonov(RestorerSpec):
    """Minimiser of ``|k * u - x|^2 + weight |D u|^2`` for a known blur k (Tikhonov 1963, Hunt 1973).

    D is the Laplacian or the identity. The minimiser is linear in x, so it is applied as a convolution whose
    kernel, of limited size, is designed beforehand.
    """

    kind: Literal["tikhonov"] = "tikhonov"
    purpose: ClassVar[str] = "undoes a known blur; one weight sets sharpness against noise"

    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    weight: Annotated[Number, Field(gt=0, le=100)] = 0.002
    """Weight of the penalty: larger gives less noise and less sharpness."""
    penalty: Literal["laplacian", "identity"] = "laplacian"
    """What is kept small: the curvature of the image, or its values (the mean brightness is kept)."""

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
        import numpy as np

        from clearsight.restore.ops.inverse_filter import inverse_filter, laplacian

        shape = laplacian()
        return inverse_filter(
            self.kernel.taps(),
            self.weight * (shape if self.penalty == "laplacian" else np.ones_like(shape)),
        )

    def network(self) -> nn.Module:
        """Return the module with both kernels; nothing in it is learned."""
        from clearsight.restore.networks.deconvolution import InverseFilter

        return InverseFilter(self.kernel.taps(), self._taps(), self.border_rounds)
