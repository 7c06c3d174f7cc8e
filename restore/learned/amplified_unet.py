"""Low light: the exposure is made up for, then the raised noise is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.classical.auto_exposure import gain_of, with_gain

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage

SMOOTHING = 2
"""Pixels beyond the network's reach that the map of the noise depends on."""


class AmplifiedUNet(RestorerSpec):
    """`AutoExposure`, then a `UNetDenoiser` that is given the noise level at every position.

    The map of the noise follows from the gain and from the sensor: shot noise, read noise and 8-bit rounding,
    amplified and carried through the sRGB curve. The network has the tensors of a `UNetDenoiser` of the same
    size, so that training can start from one.
    """

    kind: Literal["amplified_unet"] = "amplified_unet"
    purpose: ClassVar[str] = "brightens underexposed images and removes the noise of too little light"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"channels", "width", "blocks"})
    old_names: ClassVar[dict[str, str]] = {"most": "max_gain", "white": "full_well", "read": "read_noise"}

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    width: Annotated[int, Field(ge=4, le=256)] = 32
    """Channels of the first level; the next ones have 2 and 4 times as many."""
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    """Residual blocks per level and direction."""
    gain: Annotated[Number, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Factor of the linear light; ``auto`` estimates it for every image."""
    max_gain: Annotated[Number, Field(ge=1, le=4096)] = 512.0
    """Greatest gain that ``auto`` may find."""
    full_well: Annotated[Number, Field(gt=0)] = 4000.0
    """Electrons that a white pixel stands for at full exposure."""
    read_noise: Annotated[Number, Field(ge=0)] = 3.0
    """Standard deviation of the sensor's read noise in electrons."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: three strides of two; ``auto`` also looks at the whole image."""
        from clearsight.restore.networks.unet_denoiser import STRIDE, reach

        field = 2 * (reach(self.blocks) + SMOOTHING) + 1
        return RestorerFacts(channels=(self.channels,), multiple_of=STRIDE, receptive_field=field)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the gain of the whole image, for its tiles."""
        return with_gain(self, x, self.gain, self.max_gain)

    def gain_of(self, light: Images) -> PerImage:
        """Return the gain of each image, (n, 1, 1, 1), for linear light (n, c, h, w)."""
        return gain_of(light, self.gain, self.max_gain)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.unet_denoiser import UNetDenoiser as Network

        return fresh(lambda: Network(self.channels, self.width, self.blocks, blind=False))

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return brightened and denoised images."""
        from clearsight.restore.ops.linear_light import HEADROOM, from_linear, raised_noise, to_linear

        light = to_linear(x)
        gain = self.gain_of(light)
        noise = raised_noise(light, gain, full_well=self.full_well, read_noise=self.read_noise)
        return self.computed(network, from_linear((gain * light).clamp_max(HEADROOM)), noise)
