"""Restoration for recognition: global tone, local detail, and an amount for every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class Clarity(RestorerSpec):
    """A small U-Net that also sets brightness, colour and contrast of the whole image, and can abstain.

    It is meant to be trained by `recognition`: through frozen classifiers, on every kind of damage at once.
    """

    kind: Literal["clarity"] = "clarity"
    purpose: ClassVar[str] = "makes damaged images of any kind readable for classifiers"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset(
        {"channels", "width", "deep", "hidden", "least_amount"}
    )

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    width: Annotated[int, Field(ge=4, le=256)] = 24
    """Channels of the first level; the next ones have 2 and 4 times as many."""
    deep: Annotated[int, Field(ge=1, le=16)] = 2
    """Residual blocks at the lowest of the three resolutions."""
    hidden: Annotated[int, Field(ge=8, le=1024)] = 128
    """Hidden units that carry the statistics of the whole image."""
    least_amount: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Part of the change that is always made, so that an amount driven to 0 still gets a gradient."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: three strides of two; it looks at the whole image."""
        from clearsight.restore.networks.clarity import STRIDE

        return RestorerFacts(channels=(self.channels,), multiple_of=STRIDE, receptive_field=None)

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.clarity import Clarity as Network

        return fresh(lambda: Network(self.channels, self.width, self.deep, self.hidden, self.least_amount))
