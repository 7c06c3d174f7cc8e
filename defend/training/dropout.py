"""Training with dropout of the features: what Monte Carlo dropout needs (Gal & Ghahramani 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import ClassifierMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


@dataclass(frozen=True)
class Masked(Prepared):
    """A batch with its mask of dropout, float32 (features,)."""

    mask: Tensor | None = None


class Dropout(ClassifierMethod):
    """Minimise the cross-entropy with random features left out (Srivastava et al. 2014).

    Features are what the last linear layer is given. All images of a step miss the same ones: the loss has
    the mean that it has with a mask an image, and passes can be divided among processes. The network itself
    has no layer of dropout: it is used whole like any other, or by ``mc_dropout``, which leaves features out
    when it answers, too.
    """

    kind: Literal["dropout"] = "dropout"
    purpose: ClassVar[str] = "features left out at random: the base of Monte Carlo dropout"

    rate: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """Share of the features that is left out; the others are scaled up by 1 / (1 - rate)."""

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Masked:
        """Return the batch and its mask.

        Raises:
            ConfigError: the network has no linear layer.
        """
        from clearsight.defend.classifier import features_layer
        from clearsight.defend.networks.mc_dropout import kept

        layer = features_layer(model)
        if layer is None:
            raise ConfigError("the network has no linear layer whose input could be dropped", where=self.kind)
        mask = kept((layer.in_features,), self.rate, rng.at("dropout").torch())
        return Masked(batch.images, labels, mask=mask.to(batch.images.device))

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the mean cross-entropy of the batch under its mask.

        Raises:
            ConfigError: the layer was not reached, as in a compiled network.
        """
        from clearsight.defend.classifier import features_layer

        assert isinstance(made, Masked)
        layer, mask, reached = features_layer(model), made.mask, []
        assert layer is not None
        assert mask is not None

        def drop(_: nn.Module, given: tuple[Any, ...]) -> tuple[Tensor, ...]:
            reached.append(True)
            return (given[0] * mask.to(given[0].dtype),)

        handle = layer.register_forward_pre_hook(drop)
        try:
            logits = model(made.images)
        finally:
            handle.remove()
        if not reached:
            raise ConfigError("dropout does not reach the features", where=self.kind, hint="compile: false")
        return self.cross_entropy(logits, made.labels)
