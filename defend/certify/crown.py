"""CROWN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.certify.bounding import Bounding

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.defend.bounds.layers import Layer


class CROWN(Bounding):
    """Linear bounds carried back through every layer of a sequential network (Zhang et al. 2018).

    Never looser than `IBP`, whose boxes it starts from; costs a pass back for every neuron whose sign is not
    known, so it is for small networks.
    """

    kind: Literal["crown"] = "crown"
    purpose: ClassVar[str] = "linf radius by linear bounds through every layer; slower and tighter than ibp"

    def margins(self, layers: Sequence[Layer], low: Tensor, high: Tensor, rivals: Tensor) -> Tensor:
        """Return lower bounds of differences of logits."""
        from clearsight.defend.bounds import relaxation

        return relaxation.margins(layers, low, high, rivals)
