"""Exposure made up for in linear light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage

R = TypeVar("R", bound=RestorerSpec)


class AutoExposure(RestorerSpec):
    """What a longer exposure would have given: linear light times a gain that is estimated for each image.

    The gain brings the root mean square of the luma to that of well-exposed photographs; images near it
    stay as they are. Values beyond white are clipped: on darkened BSDS500 photographs a roll-off of the
    highlights lost PSNR wherever it began. Noise is raised along with the image.
    """

    kind: Literal["auto_exposure"] = "auto_exposure"
    purpose: ClassVar[str] = "brightens underexposed images as a longer exposure would"
    old_names: ClassVar[dict[str, str]] = {"most": "max_gain"}

    gain: Annotated[Number, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """Factor of the linear light; ``auto`` estimates it for every image."""
    max_gain: Annotated[Number, Field(ge=1, le=4096)] = 512.0
    """Greatest gain that ``auto`` may find."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: each pixel on its own, except that ``auto`` also looks at the whole image."""
        return RestorerFacts(receptive_field=1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the gain of the whole image, for its tiles."""
        return with_gain(self, x, self.gain, self.max_gain)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the brightened images."""
        from clearsight.restore.ops.linear_light import from_linear, to_linear

        light = to_linear(x)
        return from_linear((gain_of(light, self.gain, self.max_gain) * light).clamp_max(1.0))


def gain_of(light: Images, gain: float | Literal["auto"], max_gain: float) -> PerImage:
    """Return the gain (n, 1, 1, 1) of images in linear light: the given one, or the estimate."""
    from clearsight.restore.ops.linear_light import exposure_gain

    if gain == "auto":
        return exposure_gain(light, max_gain)
    return light.new_full((light.shape[0], 1, 1, 1), gain)


def with_gain(spec: R, x: Images, gain: float | Literal["auto"], max_gain: float) -> R:
    """Return the restorer with the gain of one image (1, c, h, w) fixed; itself where it is already."""
    from clearsight.restore.ops.linear_light import to_linear

    if gain != "auto":
        return spec
    return spec.model_copy(update={"gain": gain_of(to_linear(x), gain, max_gain).item()})
