"""Brightening and denoising of images that a sensor took with too little light."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Number
from clearsight.restore.training.base import Pair, Supervised

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

Range = tuple[Annotated[Number, Field(gt=0)], Annotated[Number, Field(gt=0)]]


class ShortExposure(Supervised):
    """Well-lit photographs, darkened by the physics of a sensor; the network learns the way back.

    Unlike the unpaired methods it knows what the image should become, so it also learns to remove the
    noise that brightening would raise; it knows no other kind of darkness. Exposure, full well and read noise
    are drawn for each image, log-uniformly.
    """

    kind: Literal["short_exposure"] = "short_exposure"
    purpose: ClassVar[str] = "too little light, simulated with the noise of a sensor"
    old_names: ClassVar[dict[str, str]] = {"white": "full_well", "read": "read_noise"}

    factor: Range = (1.0, 128.0)
    """Least and greatest factor by which the light falls short; 1 keeps the exposure, not the noise."""
    full_well: Range = (1000.0, 8000.0)
    """Least and greatest number of electrons in a white pixel at full exposure."""
    read_noise: Range = (1.0, 6.0)
    """Least and greatest standard deviation of the read noise in electrons."""
    exposure: Literal["true", "own"] = "true"
    """What the network learns to return: images of the true exposure, or of the one that its own gain gives
    them (kind amplified_unet), so that only the noise is left to learn. Validation asks for the true one."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("factor", "full_well", "read_noise"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the smaller number comes first")
        if self.factor[0] < 1:
            raise ValueError("factor: at least 1")
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the factors that validation measures."""
        return ("factor1", "factor8", "factor32")

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Darken each image of a batch by its own factor."""
        import torch

        from clearsight.restore.degradations.exposure import short_exposure

        chance = torch.rand(3, images.shape[0], 1, 1, 1, generator=rng.at("strength").torch())
        ranges = (self.factor, self.full_well, self.read_noise)
        factor, full_well, read_noise = (
            low * (log(high / low) * each).exp()
            for (low, high), each in zip(ranges, chance.unbind(), strict=True)
        )
        dark = short_exposure(images, factor, full_well, read_noise, rng.at("noise"))
        return Pair(dark, images if self.exposure == "true" else amplified(model, images, dark, factor))

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Darken by a fixed factor, with 4,000 electrons at white and 3 of read noise."""
        from clearsight.restore.degradations.exposure import short_exposure

        told = (float(condition.removeprefix("factor")), 4000.0, 3.0)
        factor, full_well, read_noise = (images.new_full((images.shape[0], 1, 1, 1), each) for each in told)
        return Pair(short_exposure(images, factor, full_well, read_noise, rng), images)


def amplified(model: Restorer, images: Tensor, dark: Tensor, factor: Tensor) -> Tensor:
    """Return clean images in the exposure that the model's gain gives the dark ones, clipped at white.

    Args:
        model: of kind amplified_unet.
        images: (n, c, h, w), well lit.
        dark: their darkened versions, same shape.
        factor: (n, 1, 1, 1), by how much less light they got.

    Raises:
        ConfigError: the model has no gain.
    """
    from clearsight.restore.learned.amplified_unet import AmplifiedUNet
    from clearsight.restore.ops.linear_light import from_linear, to_linear

    if not isinstance(model.spec, AmplifiedUNet):
        raise ConfigError(
            f"{model.spec.name} has no gain of its own",
            where="exposure",
            hint="train the kind amplified_unet, or ask for the true exposure",
        )
    gain = model.spec.gain_of(to_linear(dark))
    return from_linear((gain / factor.to(gain) * to_linear(images)).clamp(0.0, 1.0))
