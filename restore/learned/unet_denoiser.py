"""The default denoiser: a small U-Net on half-resolution channels, with a noise map or blind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts
from clearsight.restore.noise_conditioned import NoiseConditioned

if TYPE_CHECKING:
    from torch import nn


class UNetDenoiser(NoiseConditioned):
    """PixelUnshuffle(2), then DRUNet's design without biases: the most dB per millisecond on a CPU.

    Three sizes are intended: width 32 with 1 block (0.56 million parameters), width 32 with 2 blocks
    (1.05 million) and width 48 with 2 blocks (2.4 million).
    """

    kind: Literal["unet_denoiser"] = "unet_denoiser"
    revision: ClassVar[int] = 2
    purpose: ClassVar[str] = "removes noise; blind, also blur and mixed degradations"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "width", "blocks", "blind"})

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    width: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the first level; the next ones have 2 and 4 times as many."""
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual blocks per level and direction."""
    blind: bool = False
    """Without a noise map: the network infers the strength of the degradation itself."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: three strides of two; ``auto`` also looks at the whole image."""
        from clearsight.restore.networks.unet_denoiser import STRIDE, reach

        return RestorerFacts(
            channels=(self.channels,), multiple_of=STRIDE, receptive_field=2 * reach(self.blocks) + 1
        )

    def conditioned_on(self, fact: str) -> bool:
        """Return False for the noise level where the network is blind."""
        return super().conditioned_on(fact) and not self.blind

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.unet_denoiser import UNetDenoiser as Network

        return fresh(lambda: Network(self.channels, self.width, self.blocks, blind=self.blind))
