"""Non-local means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images


class NonLocalMeans(RestorerSpec):
    """Mean of the pixels whose surroundings look alike (Buades, Coll and Morel 2005).

    The squared distance of two patches is the mean over pixels and channels, less the 2 sigma^2 that the
    noise alone brings (Buades et al. 2011).
    """

    kind: Literal["non_local_means"] = "non_local_means"
    purpose: ClassVar[str] = "removes noise, keeps repeated texture"
    conditioning: ClassVar[frozenset[str]] = frozenset({"noise_level"})

    sigma: Annotated[Number, Field(gt=0, le=1)] = 25 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    patch: Annotated[int, Field(ge=0, le=5)] = 1
    """Patches are squares of side 2 patch + 1 pixels."""
    search: Annotated[int, Field(ge=1, le=15)] = 6
    """Like pixels are sought in a square of side 2 search + 1 pixels."""
    tolerance: Annotated[float, Field(gt=0, le=5)] = 0.6
    """Width of the weight, in multiples of ``sigma``: larger smooths more."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one pixel depends on the patches within its search window."""
        return RestorerFacts(receptive_field=2 * (self.search + self.patch) + 1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the weighted means; the image is mirrored at its borders."""
        from clearsight.restore.ops.filtering import neighbour_mean

        noise, width = 2 * self.sigma**2, (self.tolerance * self.sigma) ** 2

        def weight(distance: Tensor, squared: Tensor) -> Tensor:
            # Beyond exp(-40) lie denormal numbers, which are a hundred times slower and count for nothing.
            return (-(distance - noise).clamp_min(0.0) / width).clamp_min(-40.0).exp()

        return neighbour_mean(x, search=self.search, patch=self.patch, weight=weight)
