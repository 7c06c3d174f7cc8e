"""The grain of pixels that were displaced at random, smoothed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts
from clearsight.restore.per_image import PerImageRestorer, seen_luma

if TYPE_CHECKING:
    from clearsight.data.contract.types import Images

WIDEST = 4.3
"""Spread in pixels of the widest displacement that is looked for."""


class GlassSmooth(PerImageRestorer):
    """Finds images seen through frosted glass and smooths their grain; other images stay as they are.

    Where every pixel was displaced at random, what is torn from the scene becomes grain as fine as its
    edges, and classifiers go by it. A Gaussian takes it away; sharpening would bring it out. How it is
    found: `clearsight.restore.ops.spectral_glass`. Restorers that search for blur (`blind_wiener`,
    `blind_plug_and_play`) leave such images alone, but would take the smoothed ones for blurred: this
    restorer stands behind them in a chain.

    Which spread is found has no gradient: the surrogate is the Gaussian that was chosen. Images below 64
    pixels stay as they are.
    """

    kind: Literal["glass_smooth"] = "glass_smooth"
    purpose: ClassVar[str] = "smooths the grain of frosted glass that it finds; leaves other images alone"

    spread: Annotated[Number, Field(ge=0, le=20)] | Literal["auto"] = "auto"
    """Width in pixels of the Gaussian that is left of a point of the scene; 0 changes nothing, and ``auto``
    looks for that of each image."""
    strength: Annotated[Number, Field(gt=0, le=4)] = 0.8
    """Width of the Gaussian that smooths, in spreads."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the reach of the Gaussian, the spread being known beforehand."""
        from clearsight.restore.ops.filtering import gaussian_radius

        spread = WIDEST if self.spread == "auto" else self.spread
        reach = gaussian_radius(self.strength * spread) if spread else 0
        return RestorerFacts(receptive_field=2 * reach + 1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the spread of the whole image, for its tiles."""
        return self.model_copy(update={"spread": self._found(x)})

    def undone(self, image: Images) -> Images:
        """Return one image without the grain that was found in it."""
        from clearsight.restore.ops.filtering import gaussian_blurred

        spread = self._found(image)
        return gaussian_blurred(image, self.strength * spread) if spread else image

    def _found(self, image: Images) -> float:
        """Return the spread of one image (1, c, h, w), 0 where it is left alone."""
        from clearsight.restore.ops.spectral_glass import spectral_glass

        if self.spread != "auto":
            return self.spread
        return spectral_glass(seen_luma(image)) or 0.0
