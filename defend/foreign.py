"""`ForeignClassifier`: how a classifier that a user brings takes images, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Statistics of ImageNet's training images, as torchvision's models take them."""


class ForeignClassifier(ClassifierSpec):
    """Base of classifiers that users bring: the fields say what the network was trained on.

    Images are RGB in [0, 1] here. They are put into ``channel_order``, multiplied by ``value_range``, reduced
    by ``mean`` and divided by ``std`` (both in the network's order and range). ``output`` says what it gives.
    """

    foreign: ClassVar[bool] = True

    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels that the network takes; models trained with OpenCV or Caffe often take bgr."""
    value_range: Annotated[Number, Field(gt=0)] = 1.0
    """Value of white that the network takes, before ``mean`` and ``std``: 1, or 255."""
    statistics: Literal["imagenet"] | None = None
    """Named values of ``mean`` and ``std``, for values in [0, 1] and RGB."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Subtracted from the values before they go into the network."""
    std: Triple = (1.0, 1.0, 1.0)
    """What they are then divided by."""
    output: Literal["logits", "probabilities", "log_probabilities"] = "logits"
    """What the network gives. Confidence, calibration and losses are computed from logits: of a network that
    ends in a softmax (usual for Keras) they would be those of a softmax of a softmax."""

    @model_validator(mode="before")
    @classmethod
    def _named_statistics(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("statistics") == "imagenet":
            for name, numbers in IMAGENET.items():
                given = value.get(name)
                if given is not None and tuple(given) != numbers:
                    raise ValueError(f"give either 'statistics' or '{name}'")
            if value.get("channel_order", "rgb") != "rgb" or value.get("value_range", 1) != 1:
                raise ValueError("'statistics: imagenet' is for RGB in [0, 1]: give 'mean' and 'std' instead")
            return value | IMAGENET
        return value

    def prepared(self, x: Tensor) -> Tensor:
        """Return RGB images (n, 3, h, w) in [0, 1] in the order and range of the network."""
        if self.channel_order == "bgr":
            x = x.flip(1)
        return x * self.value_range if self.value_range != 1 else x

    def as_logits(self, out: Tensor) -> Tensor:
        """Return what the network gives as logits (n, classes): probabilities become their logarithms."""
        if self.output != "probabilities":
            return out
        # The smallest normal float32: the logarithm of 0 would be no number that can be compared.
        return out.clamp_min(1.1754944e-38).log()
