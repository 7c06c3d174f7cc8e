"""AugMix training (Hendrycks et al. 2020): mixed chains of simple operations, and a consistency loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.versions import VersionsMethod

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


class AugMix(VersionsMethod):
    """Cross-entropy on the image plus the Jensen-Shannon divergence to two AugMix versions of it.

    The operations are autocontrast, equalize, posterize, rotate, solarize, shear and translate: none of them
    is one of the corruptions that robustness is measured with.
    """

    kind: Literal["augmix"] = "augmix"
    purpose: ClassVar[str] = "AugMix: robust to unseen corruptions without training on any of them"

    severity: Annotated[Number, Field(ge=0.1, le=10)] = 3.0
    """Strength of the operations (3 for 32 pixels in the paper)."""

    def versions(self, batch: TrainBatch, rng: Rng, copies: int) -> tuple[Tensor, ...]:
        """Return AugMix versions of the images."""
        from clearsight.defend.training.chains.mixing import mixed

        return mixed(
            batch.images,
            batch.ids,
            rng,
            copies=copies,
            width=self.width,
            depth=self.depth,
            severity=self.severity,
        )
