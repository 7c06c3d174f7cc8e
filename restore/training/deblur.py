"""Blind deblurring: images blurred by camera shake, defocus or a Gaussian, with a little noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Number
from clearsight.restore.training.base import Pair, Supervised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

KINDS = ("motion", "defocus", "gaussian")
Length = Annotated[Number, Field(ge=0, le=96)]
Radius = Annotated[Number, Field(ge=0.01, le=48)]
Level = Annotated[Number, Field(ge=0, le=1)]


class Deblur(Supervised):
    """Blur each image with its own kernel, add Gaussian noise, round to 8 bits; learn the inverse."""

    kind: Literal["deblur"] = "deblur"
    purpose: ClassVar[str] = "blind deblurring of synthetic camera shake, defocus and Gaussian blur"

    side: Annotated[int, Field(ge=3, le=65)] = 21
    """Side of the blur kernels in pixels; odd."""
    length: tuple[Length, Length] = (1.0, 20.0)
    """Least and greatest length in pixels of the path of a shaken camera; what does not fit is shrunk."""
    radius: tuple[Radius, Radius] = (0.5, 4.5)
    """Least and greatest radius in pixels of a defocus disk."""
    width: tuple[Radius, Radius] = (0.3, 2.5)
    """Least and greatest standard deviation in pixels of a Gaussian, drawn for each of its two axes."""
    shares: tuple[Level, Level, Level] = (0.6, 0.25, 0.15)
    """Shares of images with motion, defocus and Gaussian blur; they sum to 1."""
    noise: tuple[Level, Level] = (0.0, 3 / 255)
    """Least and greatest standard deviation of the Gaussian noise, for values in [0, 1]."""

    @model_validator(mode="after")
    def _fits(self) -> Deblur:
        if self.side % 2 == 0:
            raise ValueError("side must be odd, so that a kernel has a middle")
        for name in ("length", "radius", "width", "noise"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least value comes first, got {low:g} and {high:g}")
        if abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must sum to 1, they sum to {sum(self.shares):g}")
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the two blurs that validation measures, each at the middle of its range."""
        return ("motion", "defocus")

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Blur each image with a kernel of its own kind and strength."""
        draw = rng.at("strength").numpy()
        sigma = draw.uniform(*self.noise, len(images))
        return self._pair(model, images, self._kernels(len(images), rng), sigma, rng, repeatable=False)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Blur validation images with kernels of the middle strength, and add the middle noise."""
        import numpy as np

        from clearsight.restore.degradations.kernels import defocus_kernels, motion_kernels

        count = len(images)
        if condition == "motion":
            kernels = motion_kernels(rng.at("kernels"), self.side, np.full(count, _middle(self.length)))
        elif condition == "defocus":
            kernels = defocus_kernels(np.full(count, _middle(self.radius)), self.side)
        else:
            raise ConfigError(f"no condition '{condition}'", where=self.kind, hint="known: motion, defocus")
        return self._pair(model, images, kernels, np.full(count, _middle(self.noise)), rng, repeatable=True)

    def _kernels(self, count: int, rng: Rng) -> NDArray[np.float64]:
        import numpy as np

        from clearsight.restore.degradations.kernels import defocus_kernels, gaussian_kernels, motion_kernels

        draw = rng.at("kernels").numpy()
        kind = np.searchsorted(np.cumsum(self.shares[:2]), draw.random(count), side="right")
        kernels = np.empty((count, self.side, self.side))
        motion, defocus, gaussian = (np.flatnonzero(kind == index) for index in range(3))
        lengths = draw.uniform(*self.length, len(motion))
        kernels[motion] = motion_kernels(rng.at("paths"), self.side, lengths)
        kernels[defocus] = defocus_kernels(draw.uniform(*self.radius, len(defocus)), self.side)
        along, across = draw.uniform(*self.width, (2, len(gaussian)))
        angles = draw.uniform(0, np.pi, len(gaussian))
        kernels[gaussian] = gaussian_kernels(along, across, angles, self.side)
        return kernels

    def _pair(
        self,
        model: Restorer,
        images: Tensor,
        kernels: NDArray[np.float64],
        sigma: NDArray[np.float64],
        rng: Rng,
        *,
        repeatable: bool,
    ) -> Pair:
        import torch

        from clearsight.restore.degradations.blur import blur, eight_bits
        from clearsight.restore.degradations.noise import gaussian_noise

        if model.facts.scale != 1:
            raise ConfigError("trains restorers that keep the size of an image", where=self.kind)
        level = torch.from_numpy(sigma).to(images).view(-1, 1, 1, 1)
        soft = blur(images, torch.from_numpy(kernels))
        noisy = gaussian_noise(soft, level, rng.at("noise"), repeatable=repeatable)
        return Pair(eight_bits(noisy), images, level)


def _middle(span: tuple[float, float]) -> float:
    return (span[0] + span[1]) / 2
