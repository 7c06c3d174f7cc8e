"""Bicubic upscaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images, ScaledImages


class Bicubic(RestorerSpec):
    """Cubic convolution (Keys 1981), pixel centres aligned, mirrored borders, no antialiasing.

    With ``sharpness`` -0.5 it is what super-resolution papers call bicubic (MATLAB's ``imresize``); OpenCV
    and ``torch.nn.functional.interpolate`` use -0.75.
    """

    kind: Literal["bicubic"] = "bicubic"
    purpose: ClassVar[str] = "enlarges; the baseline of super-resolution"

    scale: Literal[2, 3, 4] = 2
    """Output size / input size."""
    sharpness: Annotated[float, Field(ge=-1, le=0)] = -0.5
    """Slope of the kernel at distance one, Keys' a."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: four taps along each axis, shifted to either side by the phase."""
        return RestorerFacts(scale=self.scale, receptive_field=5)

    def restore(self, x: Images, network: nn.Module | None) -> ScaledImages:
        """Return images of ``scale`` times the size."""
        return self._enlarge(self._enlarge(x, 2), 3)

    def _enlarge(self, x: Tensor, axis: int) -> Tensor:
        import torch

        from clearsight.restore.ops.filtering import mirror

        size = x.shape[axis]
        around = x.index_select(axis, mirror(size, 2, x.device))
        shifted = [around.narrow(axis, step, size) for step in range(5)]
        phases = []
        for phase in range(self.scale):
            offset = (phase + 0.5) / self.scale - 0.5
            phases.append(
                sum((keys(step - 2 - offset, self.sharpness) * shifted[step] for step in range(5)), x * 0.0)
            )
        return torch.stack(phases, dim=axis + 1).flatten(axis, axis + 1)


def keys(distance: float, a: float) -> float:
    """Return the cubic convolution kernel at a distance in pixels."""
    t = abs(distance)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * (t**3 - 5 * t**2 + 8 * t - 4)
    return 0.0
