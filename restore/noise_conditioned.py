"""`NoiseConditioned`: what restorers share whose network takes the noise level with the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage

NOISE_LEVEL = "noise_level"
"""Name of this fact in ``conditioning``."""
MOST_TOLD = 75 / 255
"""Greatest level that ``by_brightness`` tells a network."""


class NoiseConditioned(RestorerSpec):
    """Base of restorers whose network takes images and the noise's standard deviation, (n, 1, 1, 1)."""

    conditioning: ClassVar[frozenset[str]] = frozenset({NOISE_LEVEL})

    sigma: Annotated[Number, Field(ge=0, le=1)] | Literal["auto", "by_brightness"] = "auto"
    """Standard deviation of the noise for values in [0, 1], such as 25/255; ``auto`` estimates it for every
    image, as white noise; ``by_brightness`` estimates that of the bright places where noise grows with the
    brightness (speckle, shot noise), and tells the network no more than 75/255, the most that denoisers are
    usually trained for: told more, they smooth away what a classifier still sees. A blind network does not
    use it."""

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the noise level of the whole image, for its tiles."""
        if not isinstance(self.sigma, str):
            return self
        found = self.noise(x)
        return self if found is None else self.model_copy(update={"sigma": found.item()})

    def noise(self, x: Images) -> PerImage | None:
        """Return ``sigma`` for every image, or the estimate of each; None of a network that takes none."""
        if not self.conditioned_on(NOISE_LEVEL):
            return None
        from clearsight.restore.ops.noise_level import estimate_sigma, upper_sigma

        if self.sigma == "auto":
            return estimate_sigma(x)
        if self.sigma == "by_brightness":
            return upper_sigma(x).clamp_max(MOST_TOLD)
        return x.new_full((x.shape[0], 1, 1, 1), self.sigma)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return denoised images for the given noise level, or for the estimate of each."""
        sigma = self.noise(x)
        return super().restore(x, network) if sigma is None else self.restore_told(x, network, sigma)

    def restore_told(self, x: Images, network: nn.Module | None, sigma: PerImage) -> Images:
        """Return denoised images for these noise levels; a blind network ignores them."""
        if not self.conditioned_on(NOISE_LEVEL):
            return super().restore(x, network)
        return self.computed(network, x, sigma)
