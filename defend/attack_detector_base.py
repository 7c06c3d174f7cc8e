"""`AttackDetectorSpec`: what every detector of attacked images says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from clearsight.data.contract.spec import Flow, Number, PartSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.defend.attack_detector import AttackDetector


class AttackDetectorSpec(PartSpec):
    """Base of detectors of attacked images. A subclass adds ``kind``, ``takes``, fields and `suspicion`.

    A detector is a node beside the way to a system's output: it changes no prediction, and says how
    suspicious each image is.
    """

    gives: ClassVar[Flow] = Flow.SCORE

    threshold: Annotated[Number, Field()] | None = None
    """Suspicion above which exported files give an alarm. Runs tell that of 5 % of their clean images."""

    def network(self) -> nn.Module | None:
        """Hook: return what it asks beside its inputs, if anything."""
        return None

    def suspicion(self, inputs: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Hook: return how suspicious each image is (n,), more for images that look attacked; differentiable.

        Args:
            inputs: what goes in.
            network: what `network` returned.
        """
        raise NotImplementedError

    def build(self) -> AttackDetector:
        """Return the module that runs this spec, in eval mode."""
        from clearsight.defend.attack_detector import AttackDetector

        return AttackDetector(self)
