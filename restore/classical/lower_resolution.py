"""An image as a coarser sensor would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class LowerResolution(RestorerSpec):
    """Means over squares, enlarged again: one of several views for an ensemble over resolutions.

    What lies between the pixels of the coarse image is gone, small noise with it. As a restorer alone it
    costs most classifiers more than it gains.
    """

    kind: Literal["lower_resolution"] = "lower_resolution"
    purpose: ClassVar[str] = "means over squares, enlarged again: a coarser view of the same image"

    factor: Annotated[int, Field(ge=2, le=16)] = 2
    """Side of the squares in pixels."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the squares are counted from the image's corner."""
        return RestorerFacts(multiple_of=self.factor)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return images of the same size; between the coarse pixels it is bilinear."""
        from torch.nn import functional

        coarse = functional.avg_pool2d(x, self.factor)
        return functional.interpolate(coarse, scale_factor=self.factor, mode="bilinear", align_corners=False)
