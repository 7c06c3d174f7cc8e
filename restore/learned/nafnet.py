"""Restoration by a U-Net of gated blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

Blocks = Annotated[int, Field(ge=0, le=64)]


class NAFNet(RestorerSpec):
    """U-Net of gated blocks with channel attention (Chen et al. 2022), for noise, blur and mixtures.

    The attention averages over the whole image: the receptive field is unbounded, and tiles do not equal
    the whole. In the paper: width 32 or 64, encoder (1, 1, 1, 28), middle 1, decoder (1, 1, 1, 1).
    """

    kind: Literal["nafnet"] = "nafnet"
    purpose: ClassVar[str] = "removes blur and noise; strong, but slow for its size on a CPU"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset(
        {"channels", "width", "encoder", "middle", "decoder"}
    )

    channels: Literal[1, 3] = 3
    """Grey or colour images."""
    width: Annotated[int, Field(ge=4, le=256)] = 16
    """Channels of the first level; every further one has twice as many."""
    encoder: Annotated[tuple[Blocks, ...], Field(min_length=1, max_length=5)] = (1, 1, 1)
    """Blocks of each level on the way down."""
    middle: Blocks = 1
    """Blocks at the lowest resolution."""
    decoder: Annotated[tuple[Blocks, ...], Field(min_length=1, max_length=5)] = (1, 1, 1)
    """Blocks of each level on the way up, lowest resolution first; as many levels as ``encoder``."""

    @model_validator(mode="after")
    def _as_many_up_as_down(self) -> Self:
        if len(self.encoder) != len(self.decoder):
            raise ValueError(
                f"encoder has {len(self.encoder)} levels, decoder {len(self.decoder)}: give both the same"
            )
        return self

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: one halving per level; no bound on the receptive field."""
        return RestorerFacts(channels=(self.channels,), multiple_of=2 ** len(self.encoder))

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.nafnet import NAFNet as Network

        return fresh(lambda: Network(self.channels, self.width, self.encoder, self.middle, self.decoder))
