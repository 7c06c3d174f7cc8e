"""Training under Gaussian noise: what randomised smoothing needs (Cohen et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import ClassifierMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


class Gaussian(ClassifierMethod):
    """Minimise the cross-entropy of images with Gaussian noise, which is not clamped, as in the paper.

    A classifier that votes over such noise (randomised smoothing) is certified within a radius that grows
    with sigma; this is how its base classifier is trained.
    """

    kind: Literal["gaussian"] = "gaussian"
    purpose: ClassVar[str] = "Gaussian noise on every image: the base of randomised smoothing"

    sigma: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Standard deviation of the noise, for values in [0, 1]: 0.12, 0.25, 0.5 and 1 in the paper."""

    @property
    def robust_validation(self) -> str:
        """Return the noise under which validation and test are measured."""
        return f"Gaussian noise, sigma {self.sigma:g}, one draw"

    def validation_attack(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the images with noise."""
        return self._noisy(images, rng)

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return the images with noise."""
        return Prepared(self._noisy(batch.images, rng), labels)

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the mean cross-entropy of the noisy batch."""
        return self.cross_entropy(model(made.images), made.labels)

    def _noisy(self, images: Tensor, rng: Rng) -> Tensor:
        import torch

        noise = torch.randn(images.shape, generator=rng.at("noise").torch())
        return images + self.sigma * noise.to(images.device)
