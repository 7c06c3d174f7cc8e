"""Unsharp masking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class UnsharpMask(RestorerSpec):
    """Adds ``amount`` times what a Gaussian blur takes away."""

    kind: Literal["unsharp_mask"] = "unsharp_mask"
    purpose: ClassVar[str] = "sharpens edges of slightly blurred images"

    sigma: Annotated[float, Field(gt=0, le=20)] = 1.0
    """Standard deviation of the blur in pixels."""
    amount: Annotated[float, Field(gt=0, le=10)] = 0.7
    """Strength of the sharpening."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the Gaussian is cut at three standard deviations."""
        from clearsight.restore.ops.filtering import gaussian_radius

        return RestorerFacts(receptive_field=2 * gaussian_radius(self.sigma) + 1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the sharpened images; they are mirrored at their borders."""
        from clearsight.restore.ops.filtering import gaussian_blurred

        return x + self.amount * (x - gaussian_blurred(x, self.sigma))
