"""`ClassifierSpec`: what every classifier says of itself. The module is in ``defend/classifier.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow, Number, PartSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.defend.classifier import Classifier

Triple = tuple[Number, Number, Number]


class ClassifierSpec(PartSpec):
    """Base of classifiers. A subclass adds ``kind``, fields and ``network``; normalisation is done for it."""

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.LOGITS
    trainable: ClassVar[bool] = True
    minimum: ClassVar[int] = 1
    """Smallest height and width in pixels."""
    foreign: ClassVar[bool] = False
    """True where the network is a user's: its errors are told in one line, with the part's name."""

    classes: Annotated[int, Field(ge=2)] | None = None
    """Number of classes; left out where the weights' card gives it."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of the logits; taken from the weights' card."""
    mean: Triple = (0.5, 0.5, 0.5)
    """Mean that is subtracted from RGB values in [0, 1], inside the module."""
    std: Triple = (0.25, 0.25, 0.25)
    """Standard deviation that they are then divided by."""

    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"classes", "mean", "std"})

    @property
    def place(self) -> str:
        """Return what messages call this classifier: its kind, and the file or code that it comes from."""
        return self.name

    @property
    def pretrained(self) -> bool:
        """Return whether the network that is built has learned something: its weights are not fresh ones."""
        return self.weights is not None or self.foreign or not self.trainable

    @property
    def known_classes(self) -> int:
        """Return the number of classes.

        Raises:
            ConfigError: neither the config nor the weights give it.
        """
        if self.classes is None:
            raise ConfigError(
                "the number of classes is not known",
                where=self.place,
                hint="give 'weights', or 'classes: N'",
            )
        return self.classes

    def network(self) -> nn.Module:
        """Hook: return the network, normalised RGB images to logits, with fresh weights."""
        raise NotImplementedError

    def prepared(self, x: Tensor) -> Tensor:
        """Return RGB images in [0, 1] in the order and range of the network: as they are."""
        return x

    def as_logits(self, out: Tensor) -> Tensor:
        """Return what the network gives as logits: as it is."""
        return out

    def build(self) -> Classifier:
        """Return the module that runs this spec, with its weights loaded, in eval mode."""
        from clearsight.defend.classifier import Classifier

        return Classifier(self)
