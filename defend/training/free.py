"""Free adversarial training (Shafahi et al. 2019): each backward pass serves weights and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.defend.training.base import BallMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng


class Free(BallMethod):
    """Replay each batch several times: the gradient that moves the weights moves the perturbation too.

    The authors carry the perturbation from one batch to the next; here each batch starts at a random point
    of the ball, so that a run that was killed goes on as if it had not been. Smoothed labels enter the
    attack too, for there is one backward pass only.
    """

    kind: Literal["free"] = "free"
    purpose: ClassVar[str] = "free adversarial training: one backward pass for weights and images"

    replays: Annotated[int, Field(ge=2, le=50)] = 8
    """Steps of the optimiser on one batch, m in the paper."""

    @model_validator(mode="after")
    def _no_second_pass(self) -> Self:
        if self.awp or self.local_linearity:
            raise ValueError("'awp' and 'local_linearity' need passes that free training does without")
        fields = type(self).model_fields
        if idle := [name for name in ("steps", "step_size") if getattr(self, name) != fields[name].default]:
            raise ValueError(f"'{idle[0]}' has no effect here: each replay is one step of length eps")
        return self

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the batch ``replays`` times, at a perturbation that follows its gradient."""
        from clearsight.defend.search.balls import project, steepest_direction
        from clearsight.defend.search.training_attack import TrainingAttack

        labels, images = batch.labels, batch.images
        if labels is None:
            raise DataError("needs labels", where=self.kind)
        start = TrainingAttack(self.norm, self.eps, 0, 0.0, self.eps)
        point = start.applied(networks[MODEL], images, labels, rng)
        for _ in range(self.replays):
            point = point.detach().requires_grad_()
            yield MODEL, self.cross_entropy(networks[MODEL](point), labels)
            slope = point.grad
            if slope is None:
                raise RuntimeError("the loop did not propagate the loss back to the images")
            moved = point.detach() + self.eps * steepest_direction(slope, self.norm)
            point = project(moved, images, self.norm, self.eps)
