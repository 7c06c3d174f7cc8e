"""The attack that does nothing: accuracy without an adversary."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.attacks.base import Attack
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class NoAttack(Attack):
    """No adversary."""

    kind: Literal["none"] = "none"
    purpose: ClassVar[str] = "no adversary"
    sees: ClassVar[Sees] = "nothing"

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return 0, 0

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the images."""
        return batch.images
