"""Wide residual network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from clearsight.defend.base import ClassifierSpec

if TYPE_CHECKING:
    from torch import nn


class WideResNet(ClassifierSpec):
    """WRN-depth-widen (Zagoruyko & Komodakis 2016); 36.5 million parameters as WRN-28-10."""

    kind: Literal["wide_resnet"] = "wide_resnet"
    minimum: ClassVar[int] = 8
    purpose: ClassVar[str] = "wide residual network (WRN-28-10 and smaller ones) for small images"
    fixed_by_weights: ClassVar[frozenset[str]] = ClassifierSpec.fixed_by_weights | {
        "depth",
        "widen",
        "stride",
    }

    depth: Annotated[int, Field(ge=10, le=106)] = 28
    """Number of weighted layers: 10, 16, 22, 28, 34, 40, ..."""
    widen: Annotated[int, Field(ge=1, le=32)] = 10
    """Factor on the channels (16, 32 and 64) of the stages."""
    stride: Literal[1, 2] = 1
    """Stride of the first convolution; 2 suits 64 pixels and more."""

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if (depth - 4) % 6:
            lower = depth - (depth - 4) % 6
            raise ValueError(f"depth is 6 n + 4: write {lower} or {lower + 6}")
        return depth

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.defend.networks.wide_resnet import WideResNet as Network

        classes = self.known_classes
        return fresh(lambda: Network(classes, self.depth, self.widen, self.stride))
