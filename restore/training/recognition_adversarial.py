"""Restoration for classifiers under attack: the inputs of training are attacked through the whole chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.training.recognition import Recognition

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer


class RecognitionAdversarial(Recognition):
    """`Recognition` on inputs that projected gradient ascent has made hard for the chain.

    The attack raises the Kullback-Leibler divergence from the answer on the clean image within a Linf ball
    around the corrupted one, from a uniform start (the inner problem of TRADES, Zhang et al. 2019;
    here with a frozen classifier: the restorer alone learns). It is meant for studies of adaptive attacks: in
    front of a classifier without adversarial training, a restorer gains little robustness that lasts.
    """

    kind: Literal["recognition_adversarial"] = "recognition_adversarial"  # type: ignore[assignment]
    purpose: ClassVar[str] = "recognition on inputs attacked through restorer and classifier"

    eps: Annotated[Number, Field(gt=0, le=1)] = 2 / 255
    """Linf radius around the corrupted image, for values in [0, 1]."""
    steps: Annotated[int, Field(ge=1, le=100)] = 2
    """Gradients of the attack; each costs about as much as the step itself."""
    step_size: Annotated[Number, Field(gt=0)] | None = None
    """Length of one step; left out: 1.25 eps for one step, else 2.5 eps / steps."""

    def _attacked(
        self, model: Restorer, recogniser: nn.Module, damaged: Tensor, answer: Tensor, rng: Rng
    ) -> Tensor:
        """Return the corrupted images moved to where the answer is least like that on the clean ones."""
        import torch

        size = self.step_size or (1.25 * self.eps if self.steps == 1 else 2.5 * self.eps / self.steps)
        low, high = (damaged - self.eps).clamp(0.0, 1.0), (damaged + self.eps).clamp(0.0, 1.0)
        start = torch.rand(damaged.shape, generator=rng.torch()).to(damaged)
        moved = low + start * (high - low)
        for _ in range(self.steps):
            moved.requires_grad_()
            distance = self._distance(recogniser(model.restored(moved).clamp(0.0, 1.0)), answer)
            (gradient,) = torch.autograd.grad(distance, moved)
            moved = (moved.detach() + size * gradient.sign()).clamp(low, high)
        return moved
