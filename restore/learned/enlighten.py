"""EnlightenGAN's generator: brightens dark photographs, learned from unpaired dark and normal ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

STRIDE = 16
"""Four levels of max-pooling by 2."""
FIELD = 275
"""Side in pixels of what one output pixel can depend on, the largest over all 256 positions in a 16x16 cell.
The attention adds nothing: what is pooled lies inside the field of the features that it multiplies."""


class Enlighten(RestorerSpec):
    """Attention-guided U-Net of EnlightenGAN (Jiang et al. 2021); the attention is 1 - luma, pixel by pixel.

    8.64 million parameters at width 32, 2.16 million at width 16. Sides that are no multiple of 16 are padded
    at the bottom and right by repeating the last pixel (the authors mirror at all sides) and cropped again.
    Batch normalisation runs on stored statistics, so an image's result does not depend on its batch.
    """

    kind: Literal["enlighten"] = "enlighten"
    purpose: ClassVar[str] = "brightens dark photographs: EnlightenGAN's generator"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"width"})

    width: Annotated[int, Field(ge=4, le=64)] = 32
    """Channels of the first of five levels, which double from level to level; 32 as published."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: colour only, padded to multiples of 16."""
        return RestorerFacts(channels=(3,), minimum=STRIDE, multiple_of=STRIDE, receptive_field=FIELD)

    def network(self) -> nn.Module:
        """Return the network with fresh weights, which is the identity."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.enlighten import EnlightenNet

        return fresh(lambda: EnlightenNet(self.width))
