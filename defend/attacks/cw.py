"""The attack of Carlini and Wagner: the margin raised in a ball, or the nearest misclassified image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number
from clearsight.defend.attacks.base import BallAttack

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, Target

IN_BALL, MINIMAL = ("restarts", "step_size", "random_start"), ("searches", "c", "rate")
"""Fields of one of the two forms only."""


class CarliniWagner(BallAttack):
    """The margin loss of Carlini and Wagner (2017), in two forms.

    In the ball (the default): projected steps that raise the margin, known as C&W-inf in adversarial
    training. With ``minimal: true`` (l2): their own attack, which looks for the nearest misclassified
    image with Adam, pixels as (tanh + 1) / 2, and a binary search over the weight c. It pays its steps
    whatever eps is, so that the perturbation's length means something; it succeeded where that is at most
    eps. What is farther comes back cut to the ball.
    """

    kind: Literal["cw"] = "cw"
    purpose: ClassVar[str] = "margin loss of Carlini and Wagner, in a ball or of minimal l2 length"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    old_names: ClassVar[dict[str, str]] = {"step": "step_size"}

    steps: Annotated[int, Field(ge=1)] = 100
    """Gradient steps from each start, or in each search over c."""
    kappa: Annotated[Number, Field(ge=0)] = 0.0
    """Confidence: an image is done when the wrong logit exceeds the true one by this much. More than 0 makes
    images that transfer better."""
    step_size: Annotated[Number, Field(gt=0)] | None = None
    """In the ball: length of a step; left out: 2.5 eps / steps."""
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

    def run(self, target: Target, victims: AttackBatch, rng: Rng) -> Tensor:
        """Return the misclassified points, or those of the largest margin."""
        import torch

        from clearsight.defend.search.streams import Streams

        if self.minimal:
            return self._nearest(target, victims)
        streams = Streams(rng, victims.ids)
        out = victims.images.clone()
        highest = torch.full((len(victims),), -torch.inf, device=out.device)
        left = torch.arange(len(victims), device=out.device)
        for _ in range(self.restarts):
            if len(left):
                found, margins, done = self._ascend(target, victims.of(left), streams, left)
                better = margins > highest[left]
                out[left[better]], highest[left[better]] = found[better], margins[better]
                left = left[~done]
        return out

    def _nearest(self, target: Target, victims: AttackBatch) -> Tensor:
        from clearsight.defend.search.balls import project
        from clearsight.defend.search.carlini_wagner import nearest

        found = nearest(
            target,
            victims,
            steps=self.steps,
            searches=self.searches,
            c=self.c,
            kappa=self.kappa,
            rate=self.rate,
        )
        near = found.distance <= self.eps
        out = project(found.images, victims.images, self.norm, self.eps)
        out[near] = found.images[near]
        return out

    def _ascend(
        self, target: Target, victims: AttackBatch, streams: Streams, at: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the points of the largest margin seen, those margins, and which reached kappa."""
        import torch

        from clearsight.defend.search.balls import ascent, project, random_point
        from clearsight.defend.search.losses import margin

        centre, labels = victims.images, victims.labels
        x = random_point(centre, self.norm, self.eps, streams, at) if self.random_start else centre.clone()
        length = 2.5 * self.eps / self.steps if self.step_size is None else self.step_size
        best, highest = x.clone(), torch.full((len(victims),), -torch.inf, device=x.device)
        done = torch.zeros(len(victims), dtype=torch.bool, device=x.device)
        active = torch.arange(len(victims), device=x.device)

        def judge(logits: Tensor) -> None:
            nonlocal active
            margins = margin(labels[active])(logits)
            better = margins > highest[active]
            best[active[better]], highest[active[better]] = x[active[better]], margins[better]
            done[active] = (logits.argmax(1) != labels[active]) & (margins >= self.kappa)

        for _ in range(self.steps):
            slope = target.gradient(x[active], victims.rows[active], margin(labels[active]))
            judge(slope.logits)
            going = ~done[active]
            active, gradient = active[going], slope.gradient[going]
            if not len(active):
                return best, highest, done
            moved = x[active] + length * ascent(gradient, self.norm, x=x[active])
            x[active] = project(moved, centre[active], self.norm, self.eps)
        judge(target.logits(x[active], victims.rows[active]))
        return best, highest, done
