"""A sense of degradation learned on photographs without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.sense_base import OUTPUTS, SenseSpec

if TYPE_CHECKING:
    from torch import nn


class DegradationSense(SenseSpec):
    """Four convolutions and the image's own statistics; any size from 16 pixels on.

    It is meant to be trained by `degradation`, whose draws are the targets.
    """

    kind: Literal["degradation_sense"] = "degradation_sense"
    purpose: ClassVar[str] = "tells noise, blur, darkness, haze, compression and weather"
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"width", "hidden"})

    width: Annotated[int, Field(ge=4, le=256)] = 16
    """Channels of the first level; the next ones have 2, 3 and 4 times as many."""
    hidden: Annotated[int, Field(ge=8, le=1024)] = 96
    """Hidden units between the pooled features and the outputs."""

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.degradation_sense import DegradationSense as Network

        return fresh(lambda: Network(self.width, self.hidden, OUTPUTS))
