"""Denoising at half resolution, told the noise level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class FFDNet(RestorerSpec):
    """Chain of 3x3 convolutions at half resolution with a map of the noise level (Zhang et al. 2018).

    In the paper: depth 15 and width 64 for grey, depth 12 and width 96 for colour.
    """

    kind: Literal["ffdnet"] = "ffdnet"
    purpose: ClassVar[str] = "removes noise of a given level; no skips, no levels"
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "depth", "width"})

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    depth: Annotated[int, Field(ge=3, le=40)] = 12
    """Number of convolutions."""
    width: Annotated[int, Field(ge=4, le=256)] = 64
    """Channels inside."""
    sigma: Annotated[Number, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """Standard deviation of the noise for values in [0, 1], such as 25/255; ``auto`` estimates it for every
    image."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: two pixels more on each side a convolution; ``auto`` also looks at everything."""
        return RestorerFacts(
            channels=(self.channels,), multiple_of=2, receptive_field=2 * (2 * self.depth + 1) + 1
        )

    @property
    def noise_map(self) -> bool:
        """True: the network takes the noise's standard deviation."""
        return True

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.ffdnet import FFDNet as Network

        return fresh(lambda: Network(self.channels, self.depth, self.width))

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return denoised images."""
        from clearsight.restore.learned.unet_denoiser import noise_of

        if network is None:
            raise NotImplementedError
        out: Images = network(x, noise_of(x, self.sigma))
        return out
