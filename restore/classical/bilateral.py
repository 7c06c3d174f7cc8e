"""Bilateral filter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images


class Bilateral(RestorerSpec):
    """Mean of the neighbours, weighted by nearness in space and in colour (Tomasi and Manduchi 1998)."""

    kind: Literal["bilateral"] = "bilateral"
    purpose: ClassVar[str] = "removes light noise, keeps strong edges"
    conditioning: ClassVar[frozenset[str]] = frozenset({"noise_level"})

    sigma: Annotated[Number, Field(gt=0, le=1)] = 25 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    reach: Annotated[float, Field(gt=0, le=8)] = 1.5
    """Standard deviation in pixels of the spatial weight."""
    tolerance: Annotated[float, Field(gt=0, le=10)] = 2.5
    """Standard deviation of the colour weight, in multiples of ``sigma``."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one pixel depends on its neighbours within two spatial deviations."""
        return RestorerFacts(receptive_field=2 * self._radius + 1)

    @property
    def _radius(self) -> int:
        return max(1, math.ceil(2 * self.reach))

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the weighted means; the image is mirrored at its borders."""
        from clearsight.restore.ops.filtering import neighbour_mean

        colour, space = 2 * (self.tolerance * self.sigma) ** 2, 2 * self.reach**2

        def weight(difference: Tensor, squared: Tensor) -> Tensor:
            # Beyond exp(-40) lie denormal numbers, which are a hundred times slower and count for nothing.
            return (-difference / colour - squared / space).clamp_min(-40.0).exp()

        return neighbour_mean(x, search=self._radius, patch=0, weight=weight)
