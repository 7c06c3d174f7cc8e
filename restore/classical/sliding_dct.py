"""Denoising by thresholds in a sliding DCT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts
from clearsight.restore.noise_conditioned import NoiseConditioned

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage

QUIET = 1e-5
"""Least noise level, so that no threshold is 0."""


class SlidingDCT(NoiseConditioned):
    """Shrinks the DCT coefficients of all overlapping blocks (Guleryuz 2007; Yu and Sapiro 2011).

    Two convolutions with fixed kernels around a smooth near-threshold: it has an exact gradient and exports.
    Colour images are turned into an orthonormal opponent space first. It has no network.
    """

    kind: Literal["sliding_dct"] = "sliding_dct"
    purpose: ClassVar[str] = "removes noise in the DCT of all overlapping blocks"

    side: Annotated[int, Field(ge=4, le=16)] = 8
    """Side of the blocks in pixels."""
    threshold: Annotated[float, Field(gt=0, le=10)] = 2.4
    """Coefficients below so many standard deviations of the noise are removed."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: a pixel lies in blocks that reach ``side - 1`` pixels from it."""
        return RestorerFacts(receptive_field=2 * self.side - 1)

    def restore_told(self, x: Images, network: nn.Module | None, sigma: PerImage) -> Images:
        """Return the denoised images for these noise levels; they are mirrored at their borders."""
        from clearsight.restore.ops.opponent import turned
        from clearsight.restore.ops.sliding_dct import sliding_dct

        limits = self.threshold * sigma.clamp_min(QUIET)
        return turned(sliding_dct(turned(x), limits, self.side), back=True)
