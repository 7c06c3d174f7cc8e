"""`RestorerMethod` and `Supervised`: what the training methods of this room share.

The methods themselves are in ``restore/training/``, the loop in ``pipelines/training/loop.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.spec import Flow, Number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer


@dataclass(frozen=True)
class Pair:
    """Degraded images and what they should become.

    Attributes:
        degraded: (n, c, h, w).
        target: (n, c, h * scale, w * scale) in [0, 1].
        sigma: (n, 1, 1, 1), standard deviation of the noise for values in [0, 1], where it is known: given to
            networks that take a noise map.
    """

    degraded: Tensor
    target: Tensor
    sigma: Tensor | None = None


class RestorerMethod(Method):
    """Base of methods that train restorers."""

    trains: ClassVar[Flow] = Flow.IMAGES

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the names of the degradations that validation measures, such as ``sigma25``."""
        raise NotImplementedError

    @property
    def needs_labels(self) -> bool:
        """Return whether a step uses the images' labels, whose classes must then be the recognisers'."""
        return False

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Hook: degrade clean validation images in one of the ``conditions``, always in the same way.

        Args:
            model: gives scale and channels (``model.facts``).
            images: (n, c, h, w) in [0, 1], height and width divisible by the scale.
            condition: one of ``conditions``.
            rng: a stream for this image and condition.
        """
        raise NotImplementedError


class Supervised(RestorerMethod):
    """Base of methods that degrade clean images and learn the way back. A subclass adds ``degrade``."""

    loss: Literal["l1", "l2", "l1_then_l2"] = "l1_then_l2"
    """Mean absolute or squared error; the squared one for the last part of the budget gains some PSNR."""
    finish: Annotated[Number, Field(ge=0, le=1)] = 0.85
    """Share of the budget after which ``l1_then_l2`` turns to the squared error."""

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Hook: degrade clean training images, each in its own way.

        Args:
            model: gives scale and channels.
            images: (n, c, h, w) in [0, 1].
            rng: the stream of this step.
        """
        raise NotImplementedError

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss between restored and clean images."""
        from torch.nn.functional import l1_loss, mse_loss

        model: Restorer = networks[MODEL]  # type: ignore[assignment]
        pair = self.degrade(model, batch.images, rng)
        restored = model.restored(pair.degraded, pair.sigma)
        squared = self.loss == "l2" or (self.loss == "l1_then_l2" and batch.share >= self.finish)
        yield MODEL, (mse_loss if squared else l1_loss)(restored, pair.target)
