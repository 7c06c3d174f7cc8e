"""Pre-activation ResNet, the usual network of adversarial training on small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.defend.base import ClassifierSpec

if TYPE_CHECKING:
    from torch import nn


class PreActResNet(ClassifierSpec):
    """Pre-activation ResNet for small images (He et al. 2016); 11.2 million parameters at depth 18."""

    kind: Literal["preact_resnet"] = "preact_resnet"
    minimum: ClassVar[int] = 8
    purpose: ClassVar[str] = "pre-activation ResNet-10, -18 or -34 for small images"
    fixed_by_weights: ClassVar[frozenset[str]] = ClassifierSpec.fixed_by_weights | {
        "depth",
        "width",
        "stride",
    }

    depth: Literal[10, 18, 34] = 18
    """Number of weighted layers."""
    width: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels of the first stage; each further one has twice as many."""
    stride: Literal[1, 2] = 1
    """Stride of the first convolution; 2 suits 64 pixels and more."""

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.defend.networks.preact_resnet import PreActResNet as Network

        classes = self.known_classes
        return fresh(lambda: Network(classes, self.depth, self.width, self.stride))
