"""A classifier that answers with its mean probabilities under Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number, content_key
from clearsight.defend.classifiers.adapted import AroundAnother

if TYPE_CHECKING:
    from clearsight.defend.classifier import Classifier


class Smoothed(AroundAnother):
    """The logarithm of the mean probabilities of noisy versions of an image: soft randomised smoothing.

    The noise is drawn afresh for every image and call, and not clamped. ``conformal_robust`` makes sets of
    its answers that hold under attack.
    """

    kind: Literal["smoothed"] = "smoothed"
    purpose: ClassVar[str] = "mean probabilities of another classifier under Gaussian noise"
    stochastic: ClassVar[bool] = True
    onnx: ClassVar[str] = "it draws random numbers"

    sigma: Annotated[Number, Field(gt=0, le=1)] = 0.25
    """Standard deviation of the noise, for values in [0, 1]: that which the classifier was trained with."""
    samples: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Noisy versions of each image."""

    def fingerprint(self) -> str:
        """Return a key of noise and samples, and of the inner classifier with its weights."""
        return content_key(
            [self.kind, self.revision, self.sigma, self.samples, self.classifier.fingerprint()]
        )

    def build(self) -> Classifier:
        """Return the module that draws the noise."""
        from clearsight.defend.networks.smoothed import SmoothedClassifier

        return SmoothedClassifier(self)
