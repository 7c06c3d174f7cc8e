"""Fusion for underwater images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images

SMOOTH = 1e-6
"""Added under the roots of the weights, whose gradients stay finite for it."""
FLOOR = 0.1
"""Added to every weight before they are normalised (Ancuti et al. 2018, delta)."""


class UnderwaterFusion(RestorerSpec):
    """White balance with red made up for from green, then fusion of a darker and a sharper version of it.

    After Ancuti, Ancuti, De Vleeschouwer and Bekaert (2018): water swallows red, which grows here by
    ``red (mean green - mean red) (1 - R) G`` before the grey world balances the rest; the two versions are
    fused in Laplacian pyramids by weights for contrast (Laplacian), saliency (distance of the blurred colour
    from the mean colour) and saturation. Here the sharper version is that of plain unsharp masking, for the
    paper's, half of which is the stretched details, is greyer; and saliency is measured in an orthonormal
    opponent space, not in CIELAB. As in the paper colours are balanced in sRGB values.
    """

    kind: Literal["underwater_fusion"] = "underwater_fusion"
    purpose: ClassVar[str] = "gives underwater images back their colours and contrast"

    red: Annotated[Number, Field(ge=0, le=2)] = 1.0
    """How much of the lack of red is made up for from green before the balance."""
    gamma: Annotated[Number, Field(gt=0, le=5)] = 1.5
    """Power of the darker version, which holds the contrast of bright places."""
    sharpness: Annotated[Number, Field(ge=0, le=10)] = 1.0
    """How much of the details, what a blur over 5x5 pixels takes away, the sharper version adds."""
    levels: Annotated[int, Field(ge=1, le=8)] = 5
    """Levels of the pyramids."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: colour only; means over the whole image; sides that can be halved."""
        return RestorerFacts(channels=(3,), multiple_of=2**self.levels)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the fused images."""
        from clearsight.restore.ops.pyramid import blurred, fused

        balanced = _grey_world(self._with_red(x)).clamp(0.0, 1.0)
        sharper = balanced + self.sharpness * (balanced - blurred(balanced))
        versions = [balanced.clamp_min(SMOOTH) ** self.gamma, sharper.clamp(0.0, 1.0)]
        weights = [_weight(each) + FLOOR for each in versions]
        total = weights[0] + weights[1]
        return fused(versions, [each / total for each in weights], self.levels)

    def _with_red(self, x: Images) -> Images:
        from torch import cat

        red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
        lack = green.mean(dim=(2, 3), keepdim=True) - red.mean(dim=(2, 3), keepdim=True)
        return cat([red + self.red * lack.clamp_min(0.0) * (1.0 - red) * green, green, blue], dim=1)


def _grey_world(x: Tensor) -> Tensor:
    from clearsight.restore.ops.colour_cast import balancing_gains

    return balancing_gains(x, 1.0, 8.0) * x


def _weight(x: Tensor) -> Tensor:
    """Return the sum of the weights for contrast, saliency and saturation, (n, 1, h, w)."""
    from clearsight.restore.ops.opponent import turned
    from clearsight.restore.ops.pyramid import blurred
    from clearsight.restore.ops.tone import luma

    y = luma(x)
    contrast = ((y - blurred(y)).square() + SMOOTH).sqrt()
    colours = turned(x)
    distance = blurred(colours) - colours.mean(dim=(2, 3), keepdim=True)
    saliency = (distance.square().sum(dim=1, keepdim=True) + SMOOTH).sqrt()
    saturation = ((x - y).square().mean(dim=1, keepdim=True) + SMOOTH).sqrt()
    return contrast + saliency + saturation
