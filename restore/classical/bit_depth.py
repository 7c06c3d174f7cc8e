"""Fewer grey levels as a defence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Gradient
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class BitDepth(RestorerSpec):
    """Rounds every value to ``2 ** bits`` evenly spaced levels: feature squeezing (Xu et al. 2018).

    Known not to be a defence: rounding hides the gradient, and an attacker who takes the identity in its
    place breaks it (Athalye et al. 2018). It is here to be attacked, and to show what a masked gradient does
    to an attack that does not know of it.
    """

    kind: Literal["bit_depth"] = "bit_depth"
    purpose: ClassVar[str] = "rounds to few grey levels; known not to be a defence"
    gradient: ClassVar[Gradient] = Gradient.SURROGATE

    bits: Annotated[int, Field(ge=1, le=8)] = 3
    """Bits per channel: 3 gives 8 levels, 8 the usual 256."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: every pixel by itself."""
        return RestorerFacts(receptive_field=1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Round to the nearest level, halves to even; the gradient ends here instead of being zero."""
        steps = float(2**self.bits - 1)
        return (x.detach() * steps).round() / steps

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the identity: rounding moves no value by more than half a step."""
        return x * 1.0
