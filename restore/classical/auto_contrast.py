"""Contrast that fog or a flat exposure took away, given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images, PerImage

JUDGED = 20
"""Radius in pixels of the windows whose contrast decides. They are wider than those that are lifted, for
blur takes the contrast of small ones."""
FULL = 0.7
"""Share of ``threshold`` at and below which the whole gain is given; above it the gain falls to 1."""
DETAIL, BROAD = 0.12, 0.08
"""Standard deviations of the luma that are aimed at: within windows, and of the windows' means. The first
is that of photographs, the second less than theirs: much of it is the fog's own."""
MIDDLE = (0.35, 0.65)
"""Mean luma of an image whose contrast is lifted: what is added to it needs room on both sides."""
LEAST = 1 / 1024
"""Standard deviation that stands for none: a quarter of a grey level."""


class AutoContrast(RestorerSpec):
    """Gives flat images the contrast of photographs; images that have it stay as they are.

    Fog, mist, glare on a lens and a flat exposure are one law, ``I = c J + a`` (Koschmieder 1924): a contrast
    c below 1 and a veil a that varies slowly, or not at all. Ordinary photographs have a standard deviation
    of the luma within windows of about ``threshold`` or more, whatever they show. Where an image has less,
    the details and colours are amplified to what is usual, and what varies slowly only as far as it is weaker
    than usual, which is how a veil of varying density loses its pattern. Nothing is learned. Noise and the
    steps between grey levels are raised along with the details.

    Differentiable throughout, statistics included.
    """

    kind: Literal["auto_contrast"] = "auto_contrast"
    purpose: ClassVar[str] = "gives back what fog and flat light took; leaves images with contrast alone"

    radius: Annotated[int, Field(ge=1, le=256)] = 10
    """What varies over windows of side 2 radius + 1 pixels is detail; 10 is for about 224 pixels."""
    threshold: Annotated[Number, Field(gt=0, le=0.5)] = 0.09
    """Standard deviation of the luma within windows of 41 pixels from which an image is left alone; for
    values in [0, 1]."""
    max_gain: Annotated[Number, Field(ge=1, le=256)] = 24.0
    """Greatest gain of the details."""
    gains: tuple[Number, Number] | Literal["auto"] = "auto"
    """Gain of the details and of the windows' means; ``auto`` estimates them for every image."""
    offset: tuple[Number, ...] | Literal["auto"] = "auto"
    """What is added then, to each channel or alike to all; ``auto`` keeps the mean colour, and the mean luma
    as far as there is room on both sides of it."""

    @field_validator("gains")
    @classmethod
    def _are_positive(
        cls, value: tuple[float, float] | Literal["auto"]
    ) -> tuple[float, float] | Literal["auto"]:
        if value != "auto" and not all(0 < gain <= 256 for gain in value):
            raise ValueError("give two numbers above 0 and at most 256, or 'auto'")
        return value

    @field_validator("offset")
    @classmethod
    def _is_a_colour(cls, value: tuple[float, ...] | Literal["auto"]) -> tuple[float, ...] | Literal["auto"]:
        if value != "auto" and len(value) not in (1, 3):
            raise ValueError("give one or three numbers, or 'auto'")
        return value

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: windows of windows, gains and offset being known beforehand."""
        return RestorerFacts(receptive_field=4 * self.radius + 1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the gains and the offset of the whole image, for its tiles."""
        detail, broad, offset, _ = self._lift(x)
        found = {"gains": (detail.item(), broad.item()), "offset": tuple(offset.flatten().tolist())}
        return self.model_copy(update=found)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images with contrast."""
        detail, broad, offset, smooth = self._lift(x)
        return (detail * x + (broad - detail) * smooth + offset).clamp(0.0, 1.0)

    def _lift(self, x: Images) -> tuple[PerImage, PerImage, Tensor, Tensor]:
        """Return the two gains (n, 1, 1, 1), the offset (n or 1, c or 1, 1, 1), and the windows' means."""
        from clearsight.restore.ops.tone import luma

        grey = luma(x)
        smooth = _smooth(grey, self.radius)
        if self.gains == "auto":
            strength, detail, broad = self._found(grey, smooth)
        else:
            detail, broad = (x.new_full((x.shape[0], 1, 1, 1), gain) for gain in self.gains)
            strength = detail.new_ones(())
        if self.offset == "auto":
            return detail, broad, _offset(x, grey, smooth, strength, detail, broad), smooth
        if len(self.offset) not in (1, x.shape[1]):
            raise ShapeError(
                f"has an offset of {len(self.offset)} channels for images of {x.shape[1]}", where=self.name
            )
        return detail, broad, x.new_tensor(self.offset).view(1, -1, 1, 1), smooth

    def _found(self, grey: Tensor, smooth: Tensor) -> tuple[PerImage, PerImage, PerImage]:
        """Return how much of a lift each image gets, in [0, 1], and the two gains."""
        contrast = _deviation(grey - _smooth(grey, JUDGED))
        strength = ((self.threshold - contrast) / ((1.0 - FULL) * self.threshold)).clamp(0.0, 1.0)
        wanted = (DETAIL / _deviation(grey - smooth)).clamp(1.0, self.max_gain)
        detail = 1.0 + strength * (wanted - 1.0)
        broad = 1.0 + strength * ((BROAD / _deviation(smooth)).clamp_min(1.0) - 1.0)
        return strength, detail, broad.minimum(detail)


def _smooth(grey: Tensor, radius: int) -> Tensor:
    """Return the means over windows of the means over windows."""
    from clearsight.restore.ops.guided_filter import box_mean

    return box_mean(box_mean(grey, radius), radius)


def _deviation(y: Tensor) -> PerImage:
    """Return the standard deviation of grey images (n, 1, h, w), with a finite gradient where it is 0."""
    spread = y - y.mean(dim=(2, 3), keepdim=True)
    return (spread.square().mean(dim=(2, 3), keepdim=True) + LEAST**2).sqrt()


def _offset(
    x: Images, grey: Tensor, smooth: Tensor, strength: Tensor, detail: PerImage, broad: PerImage
) -> Tensor:
    brightness = grey.mean(dim=(2, 3), keepdim=True)
    colour = x.mean(dim=(2, 3), keepdim=True) - brightness
    middle = brightness + strength * (brightness.clamp(*MIDDLE) - brightness)
    # The mean of the windows' means is not quite that of the image: windows are cut off at the borders.
    level = detail * brightness + (broad - detail) * smooth.mean(dim=(2, 3), keepdim=True)
    return middle - level + (1.0 - detail) * colour
