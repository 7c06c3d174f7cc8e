"""A classifier that adapts its batch normalisation to the images at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import Choice, Registry
from clearsight.data.contract.spec import Number, content_key
from clearsight.defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from torch import nn

    from clearsight.defend.classifier import Classifier

INNER = Registry(
    "classifier", ClassifierSpec, "clearsight.defend.classifiers", only=lambda kind: kind.onnx == "ok"
)
"""What can stand inside: networks in torch. A file of another framework has no layers to reach."""
AS_IT_IS, BY_ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class AroundAnother(ClassifierSpec):
    """Base of classifiers that ask another one. A subclass adds ``kind``, and `network` or `build`."""

    trainable: ClassVar[bool] = False

    classifier: Annotated[ClassifierSpec, Choice(INNER)]
    """The classifier that is asked."""
    mean: Triple = AS_IT_IS
    std: Triple = BY_ONE

    @model_validator(mode="after")
    def _the_inner_one_says(self) -> Self:
        if self.weights is not None:
            raise ValueError("write the weights below 'classifier'")
        if (self.mean, self.std) != (AS_IT_IS, BY_ONE):
            raise ValueError("write mean and std below 'classifier'")
        return self

    def resolved(self) -> Self:
        """Return this spec with the classes and the inner spec filled in."""
        inner = self.classifier.resolved()
        told = {"classifier": inner, "classes": inner.known_classes, "class_names": inner.class_names}
        return self.model_copy(update=told)

    def ready(self) -> None:
        """Raise `ClearsightError` unless the inner classifier can be built."""
        self.classifier.ready()

    def network(self) -> nn.Module:
        """Return the inner classifier."""
        return self.classifier.build()

    def build(self) -> Classifier:
        """Return the module, which takes what the inner classifier takes."""
        classifier = super().build()
        classifier.minimum = self.classifier.minimum
        return classifier


class AdaptedAnother(AroundAnother):
    """Base of classifiers that adapt another one to a batch. A subclass adds ``kind`` and `around`.

    Outputs depend on the batch: on ``chunk`` of a run, and on the order of its images.
    """

    onnx: ClassVar[str] = "its outputs depend on the batch, which a deployed file must not"
    batch_dependent: ClassVar[bool] = True

    prior: Annotated[Number, Field(ge=0)] = 16.0
    """Strength of the stored statistics, in images; 0 takes the batch's alone."""

    def network(self) -> nn.Module:
        """Return the inner classifier with its normalisation replaced, in what `around` makes of it.

        Raises:
            ConfigError: it has no batch normalisation with stored statistics.
        """
        from clearsight.defend.networks.blended_norm import blend_norms

        classifier = self.classifier.build()
        if not blend_norms(classifier, float(self.prior)):
            raise ConfigError(
                f"'{self.classifier.name}' has no batch normalisation that could adapt",
                where=self.place,
                hint=f"leave '{self.name}' out",
            )
        return self.around(classifier)

    def around(self, classifier: Classifier) -> nn.Module:
        """Hook: return the network that is called in place of the classifier."""
        return classifier


class Adapted(AdaptedAnother):
    """Test-time batch normalisation: the cheapest rival of restoration (Schneider et al. 2020).

    The statistics of the batch at hand, weighed against ``prior`` images' worth of the stored ones, take the
    place of the stored ones. It helps where a batch holds many images of one corruption and of all classes,
    little where every image is damaged in its own way, and it harms where a batch holds few classes, clean
    images too. **Outputs depend on the batch**: on ``chunk`` of a run, and on the order of its images.
    """

    kind: Literal["adapted"] = "adapted"
    purpose: ClassVar[str] = "another classifier whose batch normalisation adapts to each batch"

    def fingerprint(self) -> str:
        """Return a key of the prior and of the inner classifier with its weights."""
        return content_key([self.kind, self.revision, self.prior, self.classifier.fingerprint()])
