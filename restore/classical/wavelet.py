"""Wavelet denoising."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images

ROOT2, ROOT3 = 2.0**0.5, 3.0**0.5
LOW_PASS: dict[str, tuple[float, ...]] = {
    "haar": (1 / ROOT2, 1 / ROOT2),
    "daubechies2": tuple(v / (4 * ROOT2) for v in (1 + ROOT3, 3 + ROOT3, 3 - ROOT3, 1 - ROOT3)),
}
"""Orthonormal scaling filters (Daubechies 1988)."""
WINDOW = 2
"""Variances are estimated over squares of side 2 WINDOW + 1, dilated at coarse scales."""


class Wavelet(RestorerSpec):
    """Local Wiener shrinkage in an undecimated wavelet transform.

    Every coefficient w is scaled by ``max(v - sigma^2, 0) / v`` with v the mean of w^2 around it (Mihcak et
    al. 1999); the transform is redundant, which averages over all shifts (Coifman and Donoho 1995). Colour
    images are denoised in an orthonormal opponent space.
    """

    kind: Literal["wavelet"] = "wavelet"
    purpose: ClassVar[str] = "removes noise quickly, keeps texture"
    conditioning: ClassVar[frozenset[str]] = frozenset({"noise_level"})

    sigma: Annotated[Number, Field(gt=0, le=1)] = 25 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    basis: Literal["haar", "daubechies2"] = "daubechies2"
    """Orthonormal wavelet."""
    levels: Annotated[int, Field(ge=1, le=5)] = 3
    """Number of scales."""
    strength: Annotated[float, Field(gt=0, le=10)] = 1.5
    """Assumed noise variance, in multiples of ``sigma`` squared: larger smooths more."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of the filters there and back, and of the variance window."""
        return RestorerFacts(receptive_field=2 * self._reach + 1)

    @property
    def _reach(self) -> int:
        filters: int = (len(LOW_PASS[self.basis]) - 1) * (2**self.levels - 1)
        window: int = WINDOW * 2 ** (self.levels - 1)
        return filters + window

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the denoised images; they are mirrored at their borders."""
        from clearsight.restore.ops.filtering import extend
        from clearsight.restore.ops.opponent import turned

        height, width = x.shape[2:]
        planes = extend(turned(x), self._reach)
        planes = self._denoise(planes.reshape(-1, 1, planes.shape[2], planes.shape[3]), 0)
        inside = planes[:, :, self._reach : self._reach + height, self._reach : self._reach + width]
        return turned(inside.reshape(x.shape), back=True)

    def _denoise(self, low: Tensor, level: int) -> Tensor:
        """Split off three bands of details, shrink them, recurse into the rest and put all together."""
        if level == self.levels:
            return low
        h = LOW_PASS[self.basis]
        g = tuple((-1) ** k * h[len(h) - 1 - k] for k in range(len(h)))
        rows_low, rows_high = _analyse(low, h, level, 2), _analyse(low, g, level, 2)
        bands = [
            self._shrink(_analyse(rows_low, g, level, 3), level),
            self._shrink(_analyse(rows_high, h, level, 3), level),
            self._shrink(_analyse(rows_high, g, level, 3), level),
        ]
        coarse = self._denoise(_analyse(rows_low, h, level, 3), level + 1)
        rows_low = _synthesise(coarse, h, level, 3) + _synthesise(bands[0], g, level, 3)
        rows_high = _synthesise(bands[1], h, level, 3) + _synthesise(bands[2], g, level, 3)
        return _synthesise(rows_low, h, level, 2) + _synthesise(rows_high, g, level, 2)

    def _shrink(self, band: Tensor, level: int) -> Tensor:
        from torch.nn.functional import pad

        from clearsight.restore.ops.filtering import separable

        reach = WINDOW * 2**level
        taps = band.new_full((2 * WINDOW + 1,), 1.0 / (2 * WINDOW + 1))
        power = separable(pad(band.square(), (reach,) * 4), taps, dilation=2**level)
        noise = self.strength * self.sigma**2
        return band * ((power - noise).clamp_min(0.0) / power.clamp_min(noise))


def _filter(x: Tensor, taps: tuple[float, ...], level: int, axis: int, *, ahead: bool) -> Tensor:
    """Correlate along one axis, zeros outside; slices are faster here than dilated convolutions."""
    from torch.nn.functional import pad

    step, reach, size = 2**level, (len(taps) - 1) * 2**level, x.shape[axis]
    before, after = (0, reach) if ahead else (reach, 0)
    wide = pad(x, (0, 0, before, after) if axis == 2 else (before, after))
    out = taps[0] * wide.narrow(axis, 0, size)
    for k in range(1, len(taps)):
        out = out + taps[k] * wide.narrow(axis, k * step, size)
    return out


def _analyse(x: Tensor, taps: tuple[float, ...], level: int, axis: int) -> Tensor:
    return _filter(x, taps, level, axis, ahead=True)


def _synthesise(x: Tensor, taps: tuple[float, ...], level: int, axis: int) -> Tensor:
    """Apply the adjoint, halved because the transform is twofold redundant along every axis."""
    return _filter(x, tuple(v / 2 for v in reversed(taps)), level, axis, ahead=False)
