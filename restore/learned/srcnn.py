"""The first super-resolving network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import nn


class SRCNN(RestorerSpec):
    """Three convolutions on the image enlarged by cubic convolution (Dong et al. 2014); colour only."""

    kind: Literal["srcnn"] = "srcnn"
    purpose: ClassVar[str] = "enlarges; three convolutions, the first network that did"
    trainable: ClassVar[bool] = True
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"scale", "middle"})

    scale: Literal[2, 3, 4] = 4
    """Output size / input size."""
    middle: Literal[1, 3, 5] = 1
    """Side of the second kernel: 9-1-5, or the larger and slower 9-3-5 and 9-5-5."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: what the three kernels reach at the large size, and the cubic one."""
        from clearsight.restore.networks.cubic import reach
        from clearsight.restore.networks.srcnn import FIRST, LAST

        around = FIRST // 2 + self.middle // 2 + LAST // 2
        return RestorerFacts(
            scale=self.scale, channels=(3,), receptive_field=2 * reach(self.scale, around) + 1
        )

    def network(self) -> nn.Module:
        """Return the network with fresh weights."""
        from clearsight.data.initial import fresh
        from clearsight.restore.networks import srcnn

        return fresh(lambda: srcnn.SRCNN(self.scale, self.middle))
