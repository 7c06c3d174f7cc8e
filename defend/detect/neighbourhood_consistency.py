"""Neighbourhood consistency: an image whose augmented versions look like something else is suspicious."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.registry import Choice, Registry
from clearsight.data.contract.spec import Flow, Number
from clearsight.defend.attack_detector_base import AttackDetectorSpec
from clearsight.defend.base import ClassifierSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

INNER = Registry(
    "classifier", ClassifierSpec, "clearsight.defend.classifiers", only=lambda kind: kind.onnx == "ok"
)
"""Networks in torch, whose features can be seen."""


class NeighbourhoodConsistency(AttackDetectorSpec):
    """How unlike its neighbours a network finds an image (after BEYOND, He et al. 2024).

    Neighbours are augmented versions: shifted, mirrored, cropped, brighter, paler and grey ones, the same
    for every image. Each is as like as the cosine of the probabilities and that of the features say, weighted
    0.8 and 0.2 as in the paper; what counts is the likeness that ``rank`` of the neighbours reach. The paper
    asks a network that was trained without labels to give neighbours equal features; here a classifier is
    asked, which was trained with shifts and mirror images at most, and sees less.
    """

    kind: Literal["neighbourhood_consistency"] = "neighbourhood_consistency"
    purpose: ClassVar[str] = "how unlike its augmented neighbours an image is"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)

    classifier: Annotated[ClassifierSpec, Choice(INNER)]
    """Whose probabilities and features are compared: the system's own classifier, or another one."""
    rank: Annotated[Number, Field(gt=0, le=1)] = 0.4
    """Share of the neighbours that must be as like: the paper takes the 20th best of 50."""
    label_weight: Annotated[Number, Field(ge=0, le=1)] = 0.8
    """Weight of the probabilities; the features have the rest."""

    def ready(self) -> None:
        """Raise `ClearsightError` unless the classifier can be built."""
        self.classifier.ready()

    def fingerprint(self) -> str:
        """Return a key of the fields and of the classifier's weights."""
        from clearsight.data.contract.spec import content_key

        return content_key([self.key(), self.classifier.fingerprint()])

    def network(self) -> nn.Module:
        """Return the classifier with its neighbours."""
        from clearsight.defend.networks.neighbours import Neighbours

        return Neighbours(self.classifier.build(), self.rank, self.label_weight)

    def suspicion(self, inputs: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Return 1 less the likeness, 0 to 2, of images (n, c, h, w)."""
        assert network is not None
        found: Tensor = network(inputs[0])
        return found
