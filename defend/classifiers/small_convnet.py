"""Small residual network, the classifier of the shipped weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.defend.base import ClassifierSpec

if TYPE_CHECKING:
    from torch import nn


class SmallConvNet(ClassifierSpec):
    """Six pre-activation blocks in three stages; 0.7 million parameters at width 32."""

    kind: Literal["small_convnet"] = "small_convnet"
    minimum: ClassVar[int] = 8
    purpose: ClassVar[str] = "small residual network for 32 to 64 pixels; trains on a CPU in minutes"
    fixed_by_weights: ClassVar[frozenset[str]] = ClassifierSpec.fixed_by_weights | {
        "width",
        "blocks",
        "stride",
    }

    width: Annotated[int, Field(ge=1, le=512)] = 32
    """Channels of the first stage; the second and third have 2 and 4 times as many."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    """Residual blocks a stage."""
    stride: Literal[1, 2] = 2
    """Stride of the first convolution: 1 keeps the resolution at 4 times the cost."""

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.defend.networks.small_convnet import SmallConvNet as Network

        classes = self.known_classes
        return fresh(lambda: Network(classes, self.width, self.blocks, self.stride))
