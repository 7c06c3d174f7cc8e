"""White balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images


class WhiteBalance(RestorerSpec):
    """Takes the colour of the light out of an image, channel by channel in linear light (von Kries 1902).

    The light's colour is estimated as the mean of the scene, which is held to be grey (``grey_world``,
    Buchsbaum 1980), as the brightest value of each channel (``max_rgb``, Land 1977), or as a Minkowski mean
    between the two (``shades_of_grey``, Finlayson and Trezzi 2004). The mean of the three channels of the
    estimate stays as it is. A scene of one colour is mistaken for a coloured light.
    """

    kind: Literal["white_balance"] = "white_balance"
    purpose: ClassVar[str] = "removes a colour cast, such as that of lamps or water"

    method: Literal["grey_world", "shades_of_grey", "max_rgb"] = "shades_of_grey"
    """How the colour of the light is estimated."""
    norm: Annotated[Number, Field(ge=1, le=20)] = 6.0
    """Power p of the mean of ``shades_of_grey``: 1 is the grey world; large ones come near max-RGB."""
    max_gain: Annotated[Number, Field(ge=1, le=64)] = 8.0
    """Greatest factor of a channel: what a channel lacks altogether cannot be amplified out of noise."""
    gains: tuple[Number, Number, Number] | Literal["auto"] = "auto"
    """Factors of red, green and blue in linear light; ``auto`` estimates them for every image."""

    @field_validator("gains")
    @classmethod
    def _are_factors(
        cls, value: tuple[float, float, float] | Literal["auto"]
    ) -> tuple[float, float, float] | Literal["auto"]:
        if value != "auto" and min(value) <= 0:
            raise ValueError("give three numbers above 0, or 'auto'")
        return value

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: each pixel on its own, except that ``auto`` also looks at the whole image."""
        return RestorerFacts(channels=(3,), receptive_field=1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the gains of the whole image, for its tiles."""
        from clearsight.restore.ops.linear_light import to_linear

        if self.gains != "auto":
            return self
        return self.model_copy(update={"gains": tuple(self._gains(to_linear(x)).flatten().tolist())})

    def _gains(self, light: Images) -> Tensor:
        from clearsight.restore.ops.colour_cast import balancing_gains

        if self.gains != "auto":
            return light.new_tensor(self.gains).view(1, 3, 1, 1)
        norm = {"grey_world": 1.0, "shades_of_grey": self.norm, "max_rgb": float("inf")}[self.method]
        return balancing_gains(light, norm, self.max_gain)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the balanced images; values beyond white are clipped."""
        from clearsight.restore.ops.linear_light import from_linear, to_linear

        light = to_linear(x)
        return from_linear((self._gains(light) * light).clamp_max(1.0))
