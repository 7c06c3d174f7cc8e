"""The attack of Carlini and Wagner: the margin raised in a ball, or the nearest misclassified image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import IterativeAttack
from clearsight.defend.probe import Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.gradient_ascent import BestPoints
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target

IN_BALL, MINIMAL = ("restarts", "step_size", "random_start"), ("searches", "c", "rate")
"""Fields of one of the two forms only."""


class CarliniWagner(IterativeAttack):
    """The margin loss of Carlini and Wagner (2017), in two forms.

    In the ball (the default): projected steps that raise the margin, known as C&W-inf in adversarial
    training. With ``minimal: true`` (l2): their own attack, which looks for the nearest misclassified
    image with Adam, pixels as (tanh + 1) / 2, and a binary search over the weight c. It does not stop at eps,
    so that the length of the perturbation is meaningful; it succeeds where that is at most eps. A farther
    result is projected onto the ball.
    """

    kind: Literal["cw"] = "cw"
    purpose: ClassVar[str] = "margin loss of Carlini and Wagner, in a ball or of minimal l2 length"
    strength: ClassVar[Strength] = Strength.FULL
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    steps: Annotated[int, Field(ge=1)] = 100
    """Gradient steps from each start, or in each search over c."""
    kappa: Annotated[Number, Field(ge=0)] = 0.0
    """Confidence: an image is done when the wrong logit exceeds the true one by this much. More than 0 makes
    images that transfer better."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """In the ball: starts; only images that survived the ones before are tried again."""
    random_start: bool = True
    """In the ball: begin at a random point; false: at the image."""
    minimal: bool = False
    """Look for the nearest misclassified image instead; needs ``norm: l2``."""
    searches: Annotated[int, Field(ge=1, le=20)] = 9
    """Minimal: values of c that are tried."""
    c: Annotated[Number, Field(gt=0)] = 1e-3
    """Minimal: the first c, which weighs the margin against the squared length."""
    rate: Annotated[Number, Field(gt=0)] = 0.01
    """Minimal: learning rate of Adam."""

    @model_validator(mode="after")
    def _form_fits(self) -> Self:
        if self.minimal and self.norm != "l2":
            raise ValueError("minimal: it minimises the l2 length; write 'norm: l2' and an 'eps' for it")
        for name in IN_BALL if self.minimal else MINIMAL:
            if getattr(self, name) != type(self).model_fields[name].default:
                without = "with" if self.minimal else "without"
                raise ValueError(f"{name}: has no meaning {without} 'minimal: true'; leave it out")
        return self

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        if self.minimal:
            return self.searches * (self.steps + 1), self.searches * self.steps
        return self.restarts * (self.steps + 1), self.restarts * self.steps

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the misclassified points, or those of the largest margin."""
        import torch

        from clearsight.defend.search.gradient_ascent import BestPoints
        from clearsight.defend.search.streams import Streams

        if self.minimal:
            return self._nearest(target, batch)
        streams, best = Streams(rng, batch.ids), BestPoints(batch.images)
        left = torch.arange(len(batch), device=best.images.device)
        for _ in range(self.restarts):
            if len(left):
                reached, done = self._climb(target, batch.of(left), streams, left)
                best.update(left, reached.images, reached.scores)
                left = left[~done]
        return best.images

    def _nearest(self, target: Target, batch: AttackBatch) -> Tensor:
        from clearsight.defend.search.balls import project
        from clearsight.defend.search.carlini_wagner import nearest

        points = nearest(
            target,
            batch,
            steps=self.steps,
            searches=self.searches,
            c=self.c,
            kappa=self.kappa,
            rate=self.rate,
        )
        near = points.distance <= self.eps
        out = project(points.images, batch.images, self.norm, self.eps)
        out[near] = points.images[near]
        return out

    def _climb(
        self, target: Target, batch: AttackBatch, streams: Streams, at: Tensor
    ) -> tuple[BestPoints, Tensor]:
        """Return the points of the largest margin seen, and which images reached kappa."""
        from clearsight.defend.search.balls import project, random_point, steepest_direction
        from clearsight.defend.search.gradient_ascent import BestPoints, gradient_ascent
        from clearsight.defend.search.losses import margin

        centre, labels = batch.images, batch.labels
        x = random_point(centre, self.norm, self.eps, streams, at) if self.random_start else centre.clone()
        best = BestPoints(x)

        def look(x: Tensor, active: Tensor) -> GradientOutput:
            return target.gradient(x, batch.rows[active], margin(labels[active]))

        def move(x: Tensor, gradient: Tensor, active: Tensor) -> Tensor:
            moved = x + self.length * steepest_direction(gradient, self.norm, x=x)
            return project(moved, centre[active], self.norm, self.eps)

        def judge(logits: Tensor, x: Tensor, active: Tensor) -> Tensor:
            margins = margin(labels[active])(logits)
            best.update(active, x, margins)
            return (logits.argmax(1) != labels[active]) & (margins >= self.kappa)

        _, done = gradient_ascent(target, batch, x, steps=self.steps, look=look, move=move, judge=judge)
        return best, done
