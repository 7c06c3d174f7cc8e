"""`JoinSpec`: a part with several inputs of one type, where the branches of a graph meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import PartSpec

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.pipelines.systems.system import Join


class JoinSpec(PartSpec):
    """Base of joins. A subclass adds ``kind`` and the hook ``join``."""

    of: ClassVar[Literal["images", "logits"]]
    """What goes in and comes out."""

    def join(self, inputs: Sequence[Tensor]) -> Tensor:
        """Hook: return one tensor of the inputs' common shape."""
        raise NotImplementedError

    def build(self) -> Join:
        """Return the module that runs this spec."""
        from clearsight.pipelines.systems.system import Join

        return Join(self)
