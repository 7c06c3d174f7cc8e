"""Zero-DCE: brightens by curves that a small network estimates for every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class ZeroDCE(RestorerSpec):
    """DCE-Net (Guo et al. 2020): 79,416 parameters, eight curves x + A x (1 - x), results within [0, 1]."""

    kind: Literal["zero_dce"] = "zero_dce"
    purpose: ClassVar[str] = "brightens dark photographs by estimated curves: small, any size"
    trainable: ClassVar[bool] = True

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: colour only, seven 3x3 convolutions."""
        return RestorerFacts(channels=(3,), receptive_field=15)

    def network(self) -> nn.Module:
        """Return the network with fresh weights, which is the identity."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.zero_dce import ZeroDCENet

        return fresh(ZeroDCENet)
