"""Wiener deconvolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.classical.linear_deconvolution import LinearDeconvolution

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Wiener(LinearDeconvolution):
    """Linear filter of least mean squared error for a known blur and known noise (Wiener 1949).

    Its response is ``conj(H) / (|H|^2 + N / S)``. The power N of the noise is ``sigma``^2 at every frequency;
    the power S of natural images falls with the square of the frequency f (Field 1987), scaled so that the
    frequencies from 1/256 to 1/2 cycles per pixel hold the variance ``contrast``^2.
    """

    kind: Literal["wiener"] = "wiener"
    purpose: ClassVar[str] = "undoes a known blur; set by the noise of the camera"
    conditioning: ClassVar[frozenset[str]] = frozenset({"kernel", "noise_level"})

    sigma: Annotated[Number, Field(gt=0, le=1)] = 2 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    contrast: Annotated[Number, Field(gt=0, le=1)] = 0.15
    """Standard deviation of the images' values."""

    def penalty_spectrum(self) -> NDArray[np.float64]:
        """Return the ratio N / S of noise to signal."""
        from clearsight.restore.ops.inverse_filter import frequencies

        # Integral of A / f^2 over the ring 1/256 <= f <= 1/2 is 2 pi A ln 128 = contrast^2.
        amplitude = self.contrast**2 / (2.0 * math.pi * math.log(128.0))
        return self.sigma**2 * frequencies() / amplitude
