"""The classic deep super-resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class VDSR(RestorerSpec):
    """Twenty convolutions on the image enlarged by cubic convolution (Kim et al. 2016); colour only."""

    kind: Literal["vdsr"] = "vdsr"
    purpose: ClassVar[str] = "enlarges; the classic deep network, slow at the large size"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"scale", "depth", "width"})

    scale: Literal[2, 3, 4] = 4
    """Output size / input size."""
    depth: Annotated[int, Field(ge=2, le=40)] = 20
    """Number of convolutions."""
    width: Annotated[int, Field(ge=4, le=256)] = 64
    """Channels of the hidden layers."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one enlarged pixel per side and convolution, and the cubic kernel."""
        from clearsight.restore.networks.cubic import reach

        side = 2 * reach(self.scale, self.depth) + 1
        return RestorerFacts(scale=self.scale, channels=(3,), receptive_field=side)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks import vdsr

        return fresh(lambda: vdsr.VDSR(self.scale, self.depth, self.width))
