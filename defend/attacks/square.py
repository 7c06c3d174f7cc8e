"""The Square Attack: random search with squares, through the whole system, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number, kind_of
from clearsight.defend.attacks.base import BallAttack, needs_classes
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class Square(BallAttack):
    """The Square Attack (Andriushchenko et al. 2020): black-box, so masked gradients do not hinder it.

    Where it finds more than an attack by gradients, those gradients are not to be trusted.
    """

    kind: Literal["square"] = "square"
    purpose: ClassVar[str] = "random squares, kept where they raise the loss; needs scores only"
    sees: ClassVar[Sees] = "scores"

    queries: Annotated[int, Field(ge=1)] = 5000
    """Proposals for each image and start; the first point costs one more."""
    p_init: Annotated[Number, Field(gt=0, le=1)] = 0.8
    """Share of the image's area that the first squares change; it is halved step by step."""
    loss: Literal["margin", "cross_entropy"] = "margin"
    """What is raised."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Starts; only images that survived the ones before are tried again."""

    rescaled: bool = True
    """Stretch the schedule of square sizes, which is made for 10000 queries, to the budget; false: cut it off
    there, as AutoAttack does."""

    def fits(self, classes: int) -> None:
        """Raise `AttackError` where there is no second class."""
        needs_classes(kind_of(self), 2, classes)

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return self.restarts * (self.queries + 1), 0

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return, for each image, the misclassified point, or else the best one of the last start."""
        from clearsight.defend.search.square import random_squares

        found, _ = random_squares(
            target,
            batch,
            rng,
            norm=self.norm,
            eps=self.eps,
            queries=self.queries,
            p_init=self.p_init,
            loss=self.loss,
            restarts=self.restarts,
            rescaled=self.rescaled,
        )
        return found
