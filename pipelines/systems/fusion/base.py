"""`FusionSpec`: a part with several inputs of one type, where the branches of a graph meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from clearsight.data.contract.spec import PartSpec

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.pipelines.systems.system import Fusion


class FusionSpec(PartSpec):
    """Base of fusions. A subclass adds ``kind``, the facts ``takes`` and ``gives`` and the hook ``fuse``."""

    variadic: ClassVar[bool] = True

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Hook: return one tensor of the inputs' common shape."""
        raise NotImplementedError

    def surrogate(self, inputs: Sequence[Tensor]) -> Tensor:
        """Hook: return the differentiable stand-in of a fusion that declares ``Gradient.SURROGATE``."""
        raise NotImplementedError(f"{self.name} declares gradient: {self.gradient}")

    def build(self) -> Fusion:
        """Return the module that runs this spec."""
        from clearsight.pipelines.systems.system import Fusion

        return Fusion(self)
