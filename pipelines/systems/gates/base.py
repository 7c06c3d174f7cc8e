"""`GateSpec`: a part that takes an image in several versions and lets one of them through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow, Gradient, Number, PartSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.pipelines.systems.gate import Gate


class GateSpec(PartSpec):
    """Base of gates. A subclass adds ``kind``, fields, and the hooks ``network`` and ``scores``.

    The first input is the image as it came; the others are what restorers made of it, as ``of:`` names them.
    For every image the version with the highest score goes through, unchanged. The choice is a step, whose
    gradient is zero: an adaptive attack goes through a soft one in its place (`Gate.surrogate`), whose
    weights are the softmax of the scores, so that it can also push an image over the threshold.
    """

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.IMAGES
    variadic: ClassVar[bool] = True
    gradient: ClassVar[Gradient] = Gradient.SURROGATE

    temperature: Annotated[Number, Field(gt=0)] = 1.0
    """Of the softmax that attacks go through: the larger, the softer. It changes no decision."""

    def network(self) -> nn.Module | None:
        """Hook: return the module that ``scores`` uses, with its weights; None where there is none."""
        return None

    def scores(self, images: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Hook: return (n, branches), differentiable: the version with the highest score goes through.

        Args:
            images: the branches, each (n, c, h, w); the first is the image as it came.
            network: what `network` returned.
        """
        raise NotImplementedError

    def branches(self) -> int | None:
        """Hook: return the number of inputs that the gate is made for; None: any from two on."""
        return None

    def refuse(self, count: int) -> None:
        """Raise `ConfigError` unless the gate can choose among this many inputs."""
        wanted = self.branches()
        if count < 2 or wanted not in (None, count):
            raise ConfigError(
                f"chooses among {wanted or 'two or more'} images, and is fed {count}",
                where=self.name,
                hint="write of: [image, restored, ...]",
            )

    def build(self) -> Gate[Any]:
        """Return the module that runs this spec."""
        from clearsight.pipelines.systems.gate import Gate

        return Gate(self)
