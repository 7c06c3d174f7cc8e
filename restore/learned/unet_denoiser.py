"""The default denoiser: a small U-Net on half-resolution channels, with a noise map or blind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class UNetDenoiser(RestorerSpec):
    """PixelUnshuffle(2), then DRUNet's plan without biases: the most dB for a millisecond on a CPU.

    Three sizes are meant: width 32 with 1 block (0.56 million parameters), width 32 with 2 blocks
    (1.05 million) and width 48 with 2 blocks (2.4 million).
    """

    kind: Literal["unet_denoiser"] = "unet_denoiser"
    purpose: ClassVar[str] = "removes noise; blind, also blur and mixed degradations"
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "width", "blocks", "blind"})

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    width: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the first level; the next ones have 2 and 4 times as many."""
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual blocks a level and direction."""
    blind: bool = False
    """Without a noise map: the network finds out itself how strong the degradation is."""
    sigma: Annotated[Number, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """Standard deviation of the noise for values in [0, 1], such as 25/255; ``auto`` estimates it for every
    image. A blind network does not use it."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: three strides of two; ``auto`` also looks at the whole image."""
        from clearsight.restore.networks.unet_denoiser import STRIDE, reach

        return RestorerFacts(
            channels=(self.channels,), multiple_of=STRIDE, receptive_field=2 * reach(self.blocks) + 1
        )

    @property
    def noise_map(self) -> bool:
        """True unless blind."""
        return not self.blind

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.unet_denoiser import UNetDenoiser as Network

        return fresh(lambda: Network(self.channels, self.width, self.blocks, blind=self.blind))

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return denoised images."""
        if network is None:
            raise NotImplementedError
        out: Images = network(x) if self.blind else network(x, noise_of(x, self.sigma))
        return out


def noise_of(x: Images, sigma: float | Literal["auto"]) -> Images:
    """Return the noise to tell the network, (n, 1, 1, 1): the given one, or the estimate."""
    from clearsight.restore.ops.noise_level import estimate_sigma

    return estimate_sigma(x) if sigma == "auto" else x.new_full((x.shape[0], 1, 1, 1), sigma)
