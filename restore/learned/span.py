"""Fast super-resolver with parameter-free attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class Span(RestorerSpec):
    """Re-parameterised 3x3 convolutions at the small size, after SPAN (Wan et al. 2024); colour only.

    The network adds to the image enlarged by cubic convolution. Its branches are fused into single
    convolutions, and only these are exported.
    """

    kind: Literal["span"] = "span"
    purpose: ClassVar[str] = "enlarges by a trained network at a fraction of VDSR's cost"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"scale", "width", "blocks"})

    scale: Literal[2, 3, 4] = 4
    """Output size / input size."""
    width: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the features; 48 in the paper."""
    blocks: Annotated[int, Field(ge=1, le=32)] = 5
    """Blocks of three convolutions; 6 in the paper."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: three convolutions a block and three around them, each with 3x3 taps."""
        return RestorerFacts(scale=self.scale, channels=(3,), receptive_field=2 * (3 * self.blocks + 3) + 1)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.span import Span as Network

        return fresh(lambda: Network(self.scale, self.width, self.blocks))
