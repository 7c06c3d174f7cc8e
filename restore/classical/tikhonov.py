"""Tikhonov-regularised deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.classical.linear_deconvolution import LinearDeconvolution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tikhonov(LinearDeconvolution):
    """Minimiser of ``|k * u - x|^2 + weight |D u|^2`` for a known blur k (Tikhonov 1963, Hunt 1973).

    D is the Laplacian or the identity. The minimiser is linear in x, so it is applied as a convolution whose
    kernel, of limited size, is designed beforehand.
    """

    kind: Literal["tikhonov"] = "tikhonov"
    purpose: ClassVar[str] = "undoes a known blur; one weight sets sharpness against noise"
    conditioning: ClassVar[frozenset[str]] = frozenset({"kernel"})

    weight: Annotated[Number, Field(gt=0, le=100)] = 0.002
    """Weight of the penalty: larger gives less noise and less sharpness."""
    penalty: Literal["laplacian", "identity"] = "laplacian"
    """What is kept small: the curvature of the image, or its values (the mean brightness is kept)."""

    def penalty_spectrum(self) -> NDArray[np.float64]:
        """Return the weighted squared response of D."""
        import numpy as np

        from clearsight.restore.ops.inverse_filter import laplacian

        shape = laplacian()
        return self.weight * (shape if self.penalty == "laplacian" else np.ones_like(shape))
