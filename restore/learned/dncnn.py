"""The classic denoising network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class DnCNN(RestorerSpec):
    """Chain of 3x3 convolutions that predicts the noise (Zhang et al. 2017), without a noise map.

    As published for one noise level: depth 17, width 64; blind: depth 20. Published weights without batch
    normalisation fit after a change of names (`clearsight.restore.networks.dncnn.from_published`).
    """

    kind: Literal["dncnn"] = "dncnn"
    purpose: ClassVar[str] = "removes noise; the classic, slow for its quality"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "depth", "width", "norm"})

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    depth: Annotated[int, Field(ge=3, le=40)] = 17
    """Number of convolutions."""
    width: Annotated[int, Field(ge=4, le=256)] = 64
    """Channels of the hidden layers."""
    norm: bool = False
    """Batch normalisation, as in the paper; it helps to train for one noise level."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one pixel more on each side for every convolution."""
        return RestorerFacts(channels=(self.channels,), receptive_field=2 * self.depth + 1)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.dncnn import DnCNN as Network

        return fresh(lambda: Network(self.channels, self.depth, self.width, norm=self.norm))
