"""Adversarial training (Madry et al. 2018); with one step its fast forms (Wong et al., de Jorge et al.)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.training.base import BallMethod, Prepared

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.method import TrainBatch
    from clearsight.defend.search.training_attack import TrainingAttack


class Adversarial(BallMethod):
    """Minimise the cross-entropy of images that projected gradient ascent has made hard."""

    kind: Literal["adversarial"] = "adversarial"
    purpose: ClassVar[str] = "adversarial training with PGD; with steps: 1 its fast form"

    step_size: Annotated[Number, Field(gt=0)] | None = None
    """Length of one step. Left out: 2.5 eps / steps, which is 2/255 for the defaults; of a single step
    1.25 eps, or eps with guard: noise."""
    guard: Literal["none", "ramp", "noise"] | None = None
    """Against catastrophic overfitting, the collapse of one-step training. ramp: eps grows from 0. noise:
    start within 2 eps and do not project back (N-FGSM). Left out: noise for one step, none for more."""
    ramp: Annotated[Number, Field(gt=0, le=1)] = 0.3
    """Share of the budget after which guard: ramp has reached eps."""
    natural: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Weight of the loss of the unchanged images; the paper has 0, adversarial images alone."""

    @model_validator(mode="after")
    def _guard_fits(self) -> Self:
        if self.guard == "noise" and self.steps > 1:
            raise ValueError("guard: noise is for steps: 1; leave 'guard' out")
        return self

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack of a training step at this share (0 to 1) of the budget."""
        from clearsight.defend.search.training_attack import TrainingAttack

        guard = self.guard or ("noise" if self.steps == 1 else "none")
        if guard == "noise":
            # The default for one step: it costs nothing, needs no schedule, and its authors (de Jorge et al.
            # 2022) see no collapse up to eps 16/255, where the projected step of Wong et al. (2020) does
            # collapse. A ramp trains against weaker attacks meanwhile.
            size = self.step_size or self.eps
            return TrainingAttack(self.norm, self.eps, 1, size, start=2 * self.eps, bounded=False)
        grown = min(1.0, share / self.ramp) if guard == "ramp" else 1.0
        return TrainingAttack(
            self.norm, grown * self.eps, self.steps, grown * self.size, start=grown * self.eps
        )

    def objective(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the mean cross-entropy of the attacked batch, with that of the clean one where asked."""
        from clearsight.defend.search.modes import unrecorded

        loss = self.cross_entropy(model(made.images), made.labels)
        if not self.natural:
            return loss
        with unrecorded(model):
            logits = model(batch.images)
        return (1.0 - self.natural) * loss + self.natural * self.cross_entropy(logits, made.labels)
