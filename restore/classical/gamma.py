"""Gamma correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images

TOE = 0.25 / 255
"""Below this value, a quarter of a grey level, the curve is a straight line through zero."""


class Gamma(RestorerSpec):
    """Power law ``x ** gamma``.

    The power's slope at black is infinite for gamma < 1, which would put NaN into gradients; the curve is
    therefore straight below a quarter of a grey level.
    """

    kind: Literal["gamma"] = "gamma"
    purpose: ClassVar[str] = "brightens (gamma < 1) or darkens (gamma > 1)"

    gamma: Annotated[Number, Field(ge=0.05, le=20)] = 0.6
    """Exponent."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: every pixel by itself."""
        return RestorerFacts(receptive_field=1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the powers."""
        import torch

        return torch.where(x < TOE, x * TOE ** (self.gamma - 1.0), x.clamp_min(TOE) ** self.gamma)
