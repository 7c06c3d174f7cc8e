"""A denoiser for recognisers: strong noise is taken away at two resolutions, and not wholly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts
from clearsight.restore.named_network import fingerprint_with, named_denoiser, refuse_own_weights
from clearsight.restore.noise_conditioned import MOST_TOLD, NoiseConditioned

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage
    from clearsight.restore.base import RestorerSpec

WEAK, STRONG = 0.1, 0.18
"""Noise levels up to which the denoiser works as usual, and from which on the mixture stands alone."""
TOLD = 0.8
"""Share of a strong level that the denoiser is told."""
KEPT = 0.15
"""Share of the noisy image in the mixture."""


class GentleDenoiser(NoiseConditioned):
    """Denoises strong noise less than wholly, at full and at half the resolution, for a classifier behind it.

    Denoisers are trained for the least squared error, and where noise is strong that smooths away what a
    classifier would still have seen. Up to a level of 0.1 this is the named denoiser. From 0.18 on it is a
    mixture: the mean of the image denoised as usual, with at most 75/255 told, and of the image averaged over
    squares of two pixels, whose noise is half as strong, denoised and enlarged; and a little of the noisy
    image. Between both levels one passes into the other. PSNR falls where accuracy rises.
    """

    kind: Literal["gentle_denoiser"] = "gentle_denoiser"
    purpose: ClassVar[str] = "removes noise for a classifier behind it: strong noise not wholly"

    sigma: Annotated[Number, Field(ge=0, le=1)] | Literal["auto", "by_brightness"] = "by_brightness"
    """Standard deviation of the noise for values in [0, 1], such as 25/255; ``auto`` estimates it for every
    image, as white noise, ``by_brightness`` as noise that may grow with the brightness."""
    denoiser: str = "denoise-color-v2"
    """Id or folder of the weights of a denoiser that takes a noise map."""

    @model_validator(mode="after")
    def _names_denoiser(self) -> Self:
        refuse_own_weights(self, "denoiser")
        return self

    @property
    def facts(self) -> RestorerFacts:
        """Return the denoiser's facts for the coarser image; the level is that of the whole image."""
        facts = self._denoiser().facts
        field = facts.receptive_field
        return RestorerFacts(
            channels=facts.channels,
            minimum=2 * facts.minimum,
            multiple_of=2 * facts.multiple_of,
            # Enlarging looks two coarse pixels further.
            receptive_field=None if field is None else 2 * (field + 4) + 1,
        )

    def ready(self) -> None:
        """Raise `WeightsError` unless the denoiser can be found and takes a noise map."""
        self._denoiser()

    def fingerprint(self) -> str:
        """Return a key of the fields and of the sha256 of the denoiser's weights."""
        return fingerprint_with(self, ("denoiser",))

    def network(self) -> nn.Module | None:
        """Return the denoiser's network with its weights."""
        return self._denoiser().build().network

    def noise(self, x: Images) -> PerImage | None:
        """Return the whole level, of which the mixture tells each network as much as it takes."""
        from clearsight.restore.ops.noise_level import upper_sigma

        return upper_sigma(x) if self.sigma == "by_brightness" else super().noise(x)

    def restore_told(self, x: Images, network: nn.Module | None, sigma: PerImage) -> Images:
        """Return denoised images, or the mixture where these levels are strong."""
        from torch.nn import functional

        strength = ((sigma - WEAK) / (STRONG - WEAK)).clamp(0.0, 1.0)
        told = sigma * (1.0 - (1.0 - TOLD) * strength)
        fine = self.computed(network, x, told.clamp_max(MOST_TOLD)).clamp(0.0, 1.0)
        coarse = self.computed(network, functional.avg_pool2d(x, 2), (told / 2.0).clamp_max(MOST_TOLD))
        enlarged = functional.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False)
        mixed = (1.0 - KEPT) / 2.0 * (fine + enlarged.clamp(0.0, 1.0)) + KEPT * x
        return fine.lerp(mixed, strength)

    def _denoiser(self) -> RestorerSpec:
        return named_denoiser(self.denoiser, where=f"{self.name}, denoiser")
