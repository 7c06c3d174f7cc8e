"""Denoising at half resolution, given the noise level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts
from clearsight.restore.noise_conditioned import NoiseConditioned

if TYPE_CHECKING:
    from torch import nn


class FFDNet(NoiseConditioned):
    """Chain of 3x3 convolutions at half resolution with a map of the noise level (Zhang et al. 2018).

    In the paper: depth 15 and width 64 for grey, depth 12 and width 96 for colour.
    """

    kind: Literal["ffdnet"] = "ffdnet"
    revision: ClassVar[int] = 2
    purpose: ClassVar[str] = "removes noise of a given level; no skips, no levels"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "depth", "width"})

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    depth: Annotated[int, Field(ge=3, le=40)] = 12
    """Number of convolutions."""
    width: Annotated[int, Field(ge=4, le=256)] = 64
    """Channels of the hidden layers."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: two pixels per side and convolution; ``auto`` also looks at the whole image."""
        return RestorerFacts(
            channels=(self.channels,), multiple_of=2, receptive_field=2 * (2 * self.depth + 1) + 1
        )

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.ffdnet import FFDNet as Network

        return fresh(lambda: Network(self.channels, self.depth, self.width))
