"""Auto-PGD: gradient ascent without a step length to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import BallAttack, needs_classes
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class APGD(BallAttack):
    """Auto-PGD (Croce and Hein 2020; for l1 with adaptive sparsity, Croce and Hein 2021).

    An image that is misclassified is finished and costs nothing any more.
    """

    kind: Literal["apgd"] = "apgd"
    purpose: ClassVar[str] = "Auto-PGD: sets its own step lengths"
    strength: ClassVar[Strength] = Strength.FULL
    old_values: ClassVar[dict[str, dict[str, str]]] = {"loss": {"ce": "cross_entropy"}}

    loss: Literal["cross_entropy", "dlr", "dlr_targeted", "margin"] = "cross_entropy"
    """What is raised: cross-entropy, difference-of-logits ratio (three classes or more), the same towards
    one wrong class after the other (four or more), or the margin."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Gradient steps from each start."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Random starts (towards each class); only images that survived the ones before are tried again."""
    targets: Annotated[int, Field(ge=1)] = 9
    """For ``loss: dlr_targeted``: how many wrong classes are tried, by falling logit of the clean image."""
    rho: Annotated[Number, Field(gt=0, lt=1)] = 0.75
    """The step is halved where the loss rose in at most this share of the steps since the last check
    (linf and l2)."""
    widened: bool = True
    """For l1 and 10 steps or more: search balls of 3 and 2 eps first, with 30 % of the steps each."""

    def fits(self, classes: int) -> None:
        """Raise `AttackError` where the loss compares more classes than there are."""
        needs_classes(self.kind, {"dlr": 3, "dlr_targeted": 4}.get(self.loss, 2), classes)

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        targeted = self.loss == "dlr_targeted"
        starts = self.restarts * (min(self.targets, classes - 1) if targeted else 1)
        # Ranking the classes costs one, each of l1's two wider balls two, a last look at random systems one.
        longer = 5 if self.norm == "l1" and self.widened else 1
        return starts * (self.steps + 1 + longer) + targeted, starts * self.steps

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return, for each image, the misclassified point, or else the one nearest to that."""
        import torch

        from clearsight.defend.search.apgd import Settings, ascend, raised_by, ranked_targets
        from clearsight.defend.search.streams import Streams

        settings = Settings(self.norm, self.eps, self.steps, self.rho, widened=self.widened)
        streams, labels = Streams(rng, batch.ids), batch.labels
        aims: list[Tensor | None] = [None]
        if self.loss == "dlr_targeted":
            aims = list(ranked_targets(target, batch, self.targets).unbind(1))
        out = batch.images.clone()
        nearest = out.new_full((len(batch),), -torch.inf)
        left = torch.arange(len(batch), device=out.device)
        for aim in (each for each in aims for _ in range(self.restarts)):
            if not len(left):
                break
            raised = raised_by(self.loss, labels[left], None if aim is None else aim[left])
            climbed = ascend(target, batch.of(left), raised, settings, streams, left)
            better = climbed.broken | (climbed.margins > nearest[left])
            out[left[better]] = climbed.images[better]
            nearest[left] = torch.maximum(nearest[left], climbed.margins)
            left = left[~climbed.broken]
        return out
