"""Dehazing by the dark channel prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Gradient, Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images


class DarkChannel(RestorerSpec):
    """Removes haze: undoes ``I = J t + A (1 - t)`` with t from the dark channel (He, Sun and Tang 2009).

    In patches of haze-free photographs some channel of some pixel is nearly black. What a patch lacks of
    that is airlight: ``t = 1 - omega min(I / A)``, smoothed along the edges of the luma by a guided filter
    (He, Sun and Tang 2010). White objects larger than a patch are taken for haze.

    A minimum is piecewise differentiable, and clipped pixels, which are equal, lie on its kinks: there is no
    exact gradient to claim. The surrogate is the same computation with the gradient of the pixels chosen.
    """

    kind: Literal["dark_channel"] = "dark_channel"
    purpose: ClassVar[str] = "removes haze and fog by the dark channel prior"
    gradient: ClassVar[Gradient] = Gradient.SURROGATE

    patch: Annotated[int, Field(ge=1, le=63)] = 15
    """Side in pixels, odd, of the squares that hold something dark; 15 is for photographs of about 500
    pixels, 3 to 7 for small images."""
    omega: Annotated[Number, Field(gt=0, le=1)] = 0.95
    """Share of the haze that is removed."""
    min_transmission: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Least transmission: denser haze is not removed further, for little but noise is left behind it."""
    radius: Annotated[int, Field(ge=1, le=128)] = 60
    """Windows of the guided filter are squares of side 2 radius + 1 pixels."""
    eps: Annotated[Number, Field(gt=0, le=1)] = 1e-3
    """Variance of the luma below which a window of the guided filter counts as flat."""
    light: tuple[Number, ...] | Literal["auto"] = "auto"
    """Airlight in [0, 1], of each channel or one for all; ``auto`` takes the mean colour of the brightest
    0.1 % of the dark channel of each image."""

    @field_validator("patch")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"{value} is even; a patch around a pixel has an odd side")
        return value

    @field_validator("light")
    @classmethod
    def _is_a_colour(cls, value: tuple[float, ...] | Literal["auto"]) -> tuple[float, ...] | Literal["auto"]:
        if value != "auto" and not (len(value) in (1, 3) and all(0 < v <= 1 for v in value)):
            raise ValueError("give one or three numbers above 0 and at most 1, or 'auto'")
        return value

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of patch and guided filter, the airlight being known beforehand."""
        return RestorerFacts(receptive_field=2 * (self.patch // 2 + 2 * self.radius) + 1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the airlight of the whole image, for its tiles."""
        if self.light != "auto":
            return self
        return self.model_copy(update={"light": tuple(self._light(x).flatten().tolist())})

    def _light(self, x: Images) -> Tensor:
        from clearsight.restore.ops.haze import airlight, dark_channel

        if self.light == "auto":
            return airlight(x, dark_channel(x, self.patch))
        if len(self.light) not in (1, x.shape[1]):
            raise ShapeError(
                f"has an airlight of {len(self.light)} channels for images of {x.shape[1]}", where=self.name
            )
        return x.new_tensor(self.light).view(1, -1, 1, 1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images without the airlight; the gradient ends here."""
        return self._dehazed(x.detach())

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the same images, with a gradient."""
        return self._dehazed(x)

    def _dehazed(self, x: Images) -> Images:
        from clearsight.restore.ops.guided_filter import guided_filter
        from clearsight.restore.ops.haze import dark_channel, without_haze
        from clearsight.restore.ops.tone import luma

        light = self._light(x)
        raw = 1.0 - self.omega * dark_channel(x / light, self.patch)
        smooth = guided_filter(luma(x), raw, radius=self.radius, eps=self.eps)
        return without_haze(x, light, smooth.clamp(self.min_transmission, 1.0))
