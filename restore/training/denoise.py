"""Denoising of additive white Gaussian noise of any strength."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.training.base import Pair, Supervised

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

LEVELS = (15, 25, 50)
"""Standard deviations that papers report, in grey levels of 0 to 255."""


class Denoise(Supervised):
    """Clean photographs plus noise whose strength is drawn for each, as for FFDNet (Zhang et al. 2018).

    The noisy values are not clipped or rounded, as in the published figures.
    """

    kind: Literal["denoise"] = "denoise"
    purpose: ClassVar[str] = "Gaussian noise of any strength on clean photographs"

    lowest: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Least standard deviation, for values in [0, 1]."""
    highest: Annotated[Number, Field(gt=0, le=1)] = 55 / 255
    """Greatest standard deviation; all between are equally likely."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return sigma15, sigma25 and sigma50."""
        return tuple(f"sigma{level}" for level in LEVELS)

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Add noise to each image of a batch."""
        import torch

        generator = rng.torch()
        drawn = torch.rand(images.shape[0], 1, 1, 1, generator=generator)
        sigma = (self.lowest + (self.highest - self.lowest) * drawn).to(images.device)
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        return Pair(images + sigma * noise, images, sigma)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Add noise of one of the standard strengths."""
        import torch

        sigma = images.new_full((images.shape[0], 1, 1, 1), int(condition.removeprefix("sigma")) / 255)
        noise = torch.randn(images.shape, generator=rng.torch()).to(images.device)
        return Pair(images + sigma * noise, images, sigma)
