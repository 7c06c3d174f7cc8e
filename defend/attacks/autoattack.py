"""AutoAttack: the field's reference ensemble, composed of this package's own attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.defend.attacks.apgd import APGD
from clearsight.defend.attacks.base import Attack, BallAttack, needs_classes
from clearsight.defend.attacks.fab import FAB
from clearsight.defend.attacks.square import Square
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target

TARGETS = 9
"""Classes that the targeted members try, at most."""
EOT = 20
"""Draws of ``version: rand``."""


class AutoAttack(BallAttack):
    """The ensemble of Croce and Hein (2020), parameter-free; for l1 with the settings of their 2021 paper.

    ``standard``: APGD on the cross-entropy, targeted APGD on the difference-of-logits ratio, targeted FAB,
    Square. ``rand``, for systems with random parts: APGD on both losses, gradients averaged over 20 draws.
    ``plus``: APGD on both losses with 5 restarts, Square, targeted APGD and targeted FAB with 9 classes (the
    reference also runs an untargeted FAB, whose boundaries are among the targeted ones).
    """

    kind: Literal["autoattack"] = "autoattack"
    purpose: ClassVar[str] = "the reference ensemble: APGD-CE, APGD-T, FAB-T, Square"
    strength: ClassVar[Strength] = Strength.FULL

    version: Literal["standard", "rand", "plus"] = "standard"
    """Which members run."""
    queries: Annotated[int, Field(ge=1)] = 5000
    """Queries of Square; fewer than 5000 is no AutoAttack any more."""

    @property
    def averaged(self) -> int:
        """Return 20 draws for ``rand``, unless ``eot`` says otherwise."""
        return EOT if self.eot == "auto" and self.version == "rand" else super().averaged

    def fits(self, classes: int) -> None:
        """Raise `AttackError` where the losses compare more classes than there are."""
        needs_classes("autoattack", 3 if self.version == "rand" else 4, classes)

    def members(self, classes: int) -> dict[str, Attack]:
        """Return the attacks by name, in order, for a system with so many classes."""
        ball = {"norm": self.norm, "eps": self.eps}
        sparse = self.norm == "l1"
        targets = min(5 if sparse else TARGETS, classes - 1)
        restarts = 5 if sparse or self.version == "plus" else 1
        ce = APGD(**ball, loss="cross_entropy", restarts=1 if self.version == "rand" else restarts)
        dlr = APGD(**ball, loss="dlr", restarts=1 if self.version == "rand" else restarts)
        targeted = APGD(**ball, loss="dlr_targeted", targets=targets)
        fab = FAB(**ball, targets=min(TARGETS, classes - 1))
        # The reference cuts the schedule of sizes off; Square alone stretches it to the budget.
        square = Square(**ball, queries=self.queries, rescaled=False)
        if self.version == "rand":
            return {"apgd-ce": ce, "apgd-dlr": dlr}
        if self.version == "plus":
            return {"apgd-ce": ce, "apgd-dlr": dlr, "square": square, "apgd-t": targeted, "fab-t": fab}
        return {"apgd-ce": ce, "apgd-t": targeted, "fab-t": fab, "square": square}

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        each = [member.passes(classes) for member in self.members(classes).values()]
        # One look at what each member found.
        return sum(forwards for forwards, _ in each) + len(each), sum(backwards for _, backwards in each)

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Run the members on whatever the ones before left."""
        from clearsight.defend.search.compose import compose

        members = [(name, attack.run) for name, attack in self.members(target.classes).items()]
        return compose(target, batch, members, rng)
