"""Histogram equalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class HistogramEqualization(RestorerSpec):
    """Spreads the grey levels of the whole image evenly, by their cumulative histogram.

    The histogram shares every pixel linearly between the two nearest of 256 levels, so that it is
    differentiable. Colour images are equalised in their luma; colours are strengthened along with it.
    """

    kind: Literal["histogram_equalization"] = "histogram_equalization"
    purpose: ClassVar[str] = "spreads the grey levels of a pale or dark image"

    blend: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of the equalised image in the result."""

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the equalised images."""
        from clearsight.restore.ops.tone import luma, recolour, tone_map

        y = luma(x)
        return recolour(x, y, y + self.blend * (tone_map(y, tiles=1, clip_limit=None) - y))
