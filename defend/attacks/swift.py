"""swift: an ensemble as strong as AutoAttack's for a fraction of its evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.autoattack import TARGETS, AutoAttack
from clearsight.defend.attacks.base import BallAttack, needs_classes
from clearsight.defend.attacks.square import Square
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.compose import Cascade
    from clearsight.defend.target import AttackBatch, Target


class Swift(BallAttack):
    """Our own fast ensemble. An image that is misclassified costs nothing any more.

    1. A short APGD on the margin breaks what is easy.
    2. The wrong classes are ranked by their distance in the linearised network (MALT, Melamed et al. 2024);
       targeted APGD tries the nearest ones, one after the other.
    3. Images that came near to being broken, by what is left of their margin, get the other classes too.
    4. A short Square tests whether the gradients can be trusted: where it succeeds, they cannot.

    With ``exact`` the survivors go through the whole of AutoAttack: then the result is at least as strong as
    the reference schedule.
    """

    kind: Literal["swift"] = "swift"
    purpose: ClassVar[str] = "AutoAttack's strength for a fraction of its evaluations"
    strength: ClassVar[Strength] = Strength.FULL

    sieve: Annotated[int, Field(ge=1)] = 25
    """Steps of the first, untargeted search."""
    steps: Annotated[int, Field(ge=1)] = 100
    """Steps of each targeted search."""
    ranked: Annotated[int, Field(ge=1, le=TARGETS)] = 3
    """Nearest classes that are tried on every survivor."""
    near: Annotated[Number, Field(ge=0, le=1)] = 0.3
    """Share of the image's own margin below which a survivor counts as near."""
    queries: Annotated[int, Field(ge=0)] = 200
    """Queries of the closing Square; 0 leaves it out."""
    exact: bool = False
    """Send the survivors through AutoAttack, version standard."""

    def fits(self, classes: int) -> None:
        """Raise `AttackError` for fewer than four classes, which the targeted ratio compares."""
        needs_classes("swift", 4, classes)

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        count = min(TARGETS, classes - 1)
        whole = AutoAttack(norm=self.norm, eps=self.eps).passes(classes) if self.exact else (0, 0)
        longer = 5 if self.norm == "l1" else 1
        climbs = self.sieve + longer + 1 + count * (self.steps + longer + 1)
        # Two looks for the ranking, and Square with the one that judges it.
        forwards = climbs + 2 + (self.queries + 2 if self.queries else 0)
        return forwards + whole[0], self.sieve + count * (self.steps + 1) + whole[1]

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Run the stages on whatever the ones before left."""
        from clearsight.defend.search.compose import Cascade

        cascade = Cascade(target, batch)
        count = min(TARGETS, target.classes - 1)
        names = ["sieve", *(f"class {rank + 1}" for rank in range(count)), "square"]
        reference = AutoAttack(norm=self.norm, eps=self.eps).members(target.classes) if self.exact else {}
        done = cascade.resume([*names, *reference])
        for name in [*names, *reference][done:]:
            if not cascade.left.any():
                break
            if name in reference:
                cascade.attempt(name, reference[name].run, cascade.left, rng.at(name))
            else:
                self._stage(cascade, name, rng.at(name))
        return cascade.images

    def _stage(self, cascade: Cascade, name: str, rng: Rng) -> None:
        """Make one attempt; a stage without images to try is skipped."""
        chosen = cascade.left
        if name == "sieve":
            cascade.attempt(name, self._sieve, chosen, rng)
        elif name == "square":
            if self.queries:
                square = Square(norm=self.norm, eps=self.eps, queries=self.queries)
                cascade.attempt(name, square.run, chosen, rng)
        else:
            if "classes" not in cascade.extra:
                self._rank(cascade)
            rank = int(name.removeprefix("class "))
            if rank > self.ranked:
                chosen = chosen & (-cascade.best <= self.near * cascade.extra["margin"])
            if chosen.any():
                towards = cascade.extra["classes"][chosen, rank - 1]
                cascade.attempt(name, lambda t, v, r: self._climb(t, v, r, towards), chosen, rng)

    def _rank(self, cascade: Cascade) -> None:
        """Keep the survivors' classes by distance, and the margins that they began with."""
        import torch

        from clearsight.defend.search.losses import margin
        from clearsight.defend.search.ranking import nearest_classes

        some = cascade.batch.of(cascade.left)
        classes, _ = nearest_classes(cascade.target, some, self.norm, TARGETS)
        ranked = torch.zeros((len(cascade.batch), classes.shape[1]), dtype=torch.int64).to(classes)
        ranked[cascade.left] = classes
        own = torch.zeros_like(cascade.best)
        own[cascade.left] = -margin(some.labels)(cascade.target.logits(some.images, some.rows)).to(own)
        cascade.extra = {"classes": ranked, "margin": own}

    def _sieve(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        return self._climb(target, batch, rng, None)

    def _climb(self, target: Target, batch: AttackBatch, rng: Rng, towards: Tensor | None) -> Tensor:
        """Run one start of APGD, away from the true class or towards one of the others."""
        import torch

        from clearsight.defend.search.apgd import Settings, ascend, raised_by
        from clearsight.defend.search.streams import Streams

        steps = self.sieve if towards is None else self.steps
        raised = raised_by("margin" if towards is None else "dlr_targeted", batch.labels, towards)
        at = torch.arange(len(batch), device=batch.images.device)
        settings = Settings(self.norm, self.eps, steps)
        return ascend(target, batch, raised, settings, Streams(rng, batch.ids), at).images
