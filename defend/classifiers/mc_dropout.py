"""A classifier that answers with its mean probabilities under dropout: Monte Carlo dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number, content_key
from clearsight.defend.classifiers.adapted import AroundAnother

if TYPE_CHECKING:
    from clearsight.defend.classifier import Classifier


class MCDropout(AroundAnother):
    """The logarithm of the mean probabilities over random features left out (Gal & Ghahramani 2016).

    Dropout acts on what the last linear layer is given, so that all samples together cost little more than
    one answer. The masks are drawn afresh for every image and call. Train the classifier with the method
    ``dropout`` at the same rate: a network that never missed a feature says nothing sensible without it.
    """

    kind: Literal["mc_dropout"] = "mc_dropout"
    purpose: ClassVar[str] = "mean probabilities of another classifier under dropout of its features"
    stochastic: ClassVar[bool] = True
    onnx: ClassVar[str] = "it draws random numbers"

    rate: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """Share of the features that is left out: that which the classifier was trained with."""
    samples: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Masks of each image."""

    def fingerprint(self) -> str:
        """Return a key of rate and samples, and of the inner classifier with its weights."""
        return content_key([self.kind, self.revision, self.rate, self.samples, self.classifier.fingerprint()])

    def build(self) -> Classifier:
        """Return the module that draws the masks.

        Raises:
            ConfigError: the inner classifier has no linear layer.
        """
        from clearsight.defend.networks.mc_dropout import MCDropoutClassifier

        return MCDropoutClassifier(self)
