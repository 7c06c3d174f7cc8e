"""Blind restoration of photographs: a second-order chain of blur, resizing, noise and JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Number
from clearsight.restore.training.base import Pair, Supervised

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.degradations.chain import Ranges
    from clearsight.restore.restorer import Restorer

Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(ge=1e-3, le=1)]
Pixels = Annotated[Number, Field(ge=0, le=8)]
Blur = Annotated[Number, Field(ge=0.05, le=2)]
Factor = Annotated[Number, Field(ge=0.25, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]
SPANS = (
    "soft_width", "blur", "shrink", "gaussian", "poisson", "camera", "fine", "coarse", "correlation",
    "read_noise", "quality",
)  # fmt: skip


class Realistic(Supervised):
    """Degrade each image twice with what happens to photographs, in random order; learn the way back.

    Camera noise has the lion's share: signal-dependent, coloured, in grains and blotches, as the development
    of a raw image leaves it. Blur and resizing are rare and mild, so that the network restores but does
    not sharpen what was soft in the scene.
    """

    kind: Literal["realistic"] = "realistic"
    purpose: ClassVar[str] = "blind restoration of real photographs: camera noise, JPEG, slight blur"
    old_names: ClassVar[dict[str, str]] = {"read": "read_noise"}

    soft: Share = 0.5
    """Share of images whose clean version, the target, is softened first: photographs at full resolution
    are softer than the downscaled ones that training sets hold."""
    soft_width: tuple[Blur, Blur] = (0.4, 1.4)
    """Least and greatest standard deviation in pixels of that softening."""
    chances: tuple[Share, Share, Share, Share] = (0.12, 0.1, 0.85, 0.5)
    """Probabilities of blur, resizing, noise and JPEG for an image in each round."""
    second: Share = 0.5
    """Probability that an image goes through the second round."""
    noises: tuple[Share, Share, Share] = (0.25, 0.15, 0.6)
    """Shares of Gaussian, Poisson and camera noise among noises; they sum to 1."""
    blur: tuple[Blur, Blur] = (0.2, 1.0)
    """Least and greatest standard deviation in pixels of the blur, for each axis of its ellipse."""
    shrink: tuple[Factor, Factor] = (0.6, 1.0)
    """Least and greatest intermediate size / size."""
    gaussian: tuple[Share, Share] = (0.0, 15 / 255)
    """Least and greatest standard deviation of Gaussian noise, for values in [0, 1]."""
    poisson: tuple[Positive, Positive] = (1 / 255, 15 / 255)
    """The same of Poisson noise, at white."""
    camera: tuple[Share, Share] = (0.0, 10 / 255)
    """The same of camera noise, at mid-grey."""
    fine: tuple[Pixels, Pixels] = (0.2, 1.2)
    """Width in pixels of the grain that the channels share."""
    coarse: tuple[Pixels, Pixels] = (0.6, 4.5)
    """Width in pixels of the colour blotches."""
    correlation: tuple[Share, Share] = (0.3, 0.95)
    """Correlation of camera noise between channels."""
    read_noise: tuple[Share, Share] = (0.0, 0.03)
    """Variance of the read noise over that of the shot noise at white."""
    quality: tuple[Quality, Quality] = (30, 98)
    """Least and greatest JPEG quality."""
    codec: Literal["file", "kornia"] = "file"
    """``file``: real JPEG files in memory, on the CPU. ``kornia``: imitated on the images' device."""

    @model_validator(mode="after")
    def _fits(self) -> Realistic:
        for name in SPANS:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least value comes first, got {low:g} and {high:g}")
        if abs(sum(self.noises) - 1) > 1e-6:
            raise ValueError(f"noises must sum to 1, they sum to {sum(self.noises):g}")
        return self

    @property
    def ranges(self) -> Ranges:
        """Return the arguments of the chain."""
        from clearsight.restore.degradations.chain import Ranges

        names = (name for name in SPANS if name != "soft_width")
        return Ranges(
            **{name: getattr(self, name) for name in names},
            chances=self.chances,
            noises=self.noises,
            second=self.second,
            codec=self.codec,
        )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return two fixed chains: the noise of a good camera, and much of everything."""
        return ("mild", "strong")

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Soften some images, which become the target, then send all through the chain."""
        import torch

        from clearsight.restore.degradations.chain import second_order, soften

        self._check(model)
        target = images
        chosen = torch.from_numpy(rng.at("soft").numpy().random(len(images)) < self.soft).to(images.device)
        if chosen.any():
            target = images.clone()
            target[chosen] = soften(images[chosen], self.soft_width, rng.at("softened"))
        return Pair(second_order(target, self.ranges, rng.at("chain")), target)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Degrade validation images with one of two fixed chains, whatever the fields say."""
        from clearsight.restore.degradations.fixed import mild, strong

        self._check(model)
        chains = {"mild": mild, "strong": strong}
        if condition not in chains:
            raise ConfigError(f"no condition '{condition}'", where=self.kind, hint="known: mild, strong")
        return Pair(chains[condition](images, rng), images)

    def _check(self, model: Restorer) -> None:
        if model.facts.scale != 1:
            raise ConfigError("trains restorers that keep the size of an image", where=self.kind)
