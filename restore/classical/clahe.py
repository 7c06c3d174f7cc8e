"""Contrast-limited adaptive histogram equalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class CLAHE(RestorerSpec):
    """Histogram equalisation in tiles, with limited contrast (Zuiderveld 1994).

    The tone curves of the four nearest tiles are blended. Histograms share every pixel linearly between the
    two nearest of 256 levels, so that they are differentiable. Colour images are equalised in their luma;
    colours are strengthened along with it.
    """

    kind: Literal["clahe"] = "clahe"
    purpose: ClassVar[str] = "raises local contrast in dark, pale or foggy images"

    clip_limit: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Largest count of a level, in multiples of the mean count: larger is stronger."""
    tiles: Annotated[int, Field(ge=1, le=32)] = 8
    """Tiles along each side; fewer in images where they would be smaller than 16 pixels."""

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return images of higher local contrast."""
        from clearsight.restore.ops.tone import luma, recolour, tone_map

        y = luma(x)
        return recolour(x, y, tone_map(y, tiles=self.tiles, clip_limit=self.clip_limit))
