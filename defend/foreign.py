"""`ForeignClassifier`: how a classifier that a user brings takes images, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number, Spec
from clearsight.defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from torch import Tensor

Side = Annotated[int, Field(ge=1, le=4096)]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Statistics of ImageNet's training images, as torchvision's models take them."""


class DeclaredInput(Spec):
    """What `ClassifierSpec` says of the size of images, where it is the config that knows it."""

    minimum: Annotated[int, Field(ge=1)] = 1
    """Smallest height and width in pixels that the network takes; smaller images are refused."""
    input_size: Side | tuple[Side, Side] | None = None
    """Side of the square, or height and width, that every image is resized to (bilinear, smoothed where it
    shrinks) before it goes in, for networks of one size; part of the classifier, so attacks go through it.
    Left out: images go in as they are."""

    def identity(self) -> dict[str, Any]:
        """Return the fields; those of this class are left out at their defaults: older keys stay valid."""
        defaults = {"minimum": 1, "input_size": None}
        return {
            name: value
            for name, value in super().identity().items()
            if name not in defaults or value != defaults[name]
        }


class ForeignClassifier(DeclaredInput, ClassifierSpec):
    """Base of classifiers that users bring: the fields say what the network was trained on.

    Images are RGB in [0, 1] here. They are resized to ``input_size`` where it is given, put into
    ``channel_order``, multiplied by ``value_range``, reduced by ``mean`` and divided by ``std`` (both in the
    network's order and range). ``output`` says what it gives.
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
        """Return RGB images (n, 3, h, w) in [0, 1] in the size, order and range of the network."""
        if self.input_size is not None:
            from torch.nn.functional import interpolate

            size = self.input_size if isinstance(self.input_size, tuple) else (self.input_size,) * 2
            x = interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
        if self.channel_order == "bgr":
            x = x.flip(1)
        return x * self.value_range if self.value_range != 1 else x

    def as_logits(self, out: Tensor) -> Tensor:
        """Return what the network gives as logits (n, classes): probabilities become their logarithms."""
        if self.output != "probabilities":
            return out
        # The smallest normal float32: the logarithm of 0 would be no number that can be compared.
        return out.clamp_min(1.1754944e-38).log()
