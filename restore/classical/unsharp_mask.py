"""Unsharp masking."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class UnsharpMask(RestorerSpec):
    """Adds ``amount`` times what a Gaussian blur takes away."""

    kind: Literal["unsharp_mask"] = "unsharp_mask"
    purpose: ClassVar[str] = "sharpens edges of slightly blurred images"

    sigma: Annotated[float, Field(gt=0, le=20)] = 1.0
    """Standard deviation of the blur in pixels."""
    amount: Annotated[float, Field(gt=0, le=10)] = 0.7
    """Strength of the sharpening."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the Gaussian is cut at three standard deviations."""
        return RestorerFacts(receptive_field=2 * self._radius + 1)

    @property
    def _radius(self) -> int:
        return max(1, math.ceil(3 * self.sigma))

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the sharpened images; they are mirrored at their borders."""
        from clearsight.restore.ops.filtering import extend, gaussian_taps, separable

        blurred = separable(extend(x, self._radius), gaussian_taps(self.sigma).to(x))
        return x + self.amount * (x - blurred)
