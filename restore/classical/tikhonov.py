"""Tikhonov-regularised deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from data.contract.spec import Number
from restore.base import RestorerFacts, RestorerSpec
from restore.kernels import GaussianKernel, Kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


class Tikhonov(RestorerSpec):
    """Minimiser of ``|k * u - x|^2 + weight |D u|^2`` for a known blur k (Tikhonov 1963, Hunt 1973).

    D is the Laplacian or the identity. The minimiser is linear in x, so it is applied as one convolution
    whose kernel is designed beforehand.
    """

    kind: Literal["tikhonov"] = "tikhonov"
    purpose: ClassVar[str] = "undoes a known blur; one weight sets sharpness against noise"

    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    weight: Annotated[Number, Field(gt=0, le=100)] = 0.002
    """Weight of the penalty: larger gives less noise and less sharpness."""
    penalty: Literal["laplacian", "identity"] = "laplacian"
    """What is kept small: the curvature of the picture, or its values (the mean brightness is kept)."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the side of the inverse filter."""
        return RestorerFacts(receptive_field=self._taps().shape[0])

    def _taps(self) -> NDArray[np.float64]:
        import numpy as np

        from restore.inverse import inverse_filter, laplacian

        shape = laplacian()
        return inverse_filter(
            self.kernel.taps(),
            self.weight * (shape if self.penalty == "laplacian" else np.ones_like(shape)),
        )

    def network(self) -> nn.Module:
        """Return the inverse filter; nothing in it is learned."""
        from restore.nets.deconvolution import LinearFilter

        return LinearFilter(self._taps())
