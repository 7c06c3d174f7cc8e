"""Perturbations of what a network sees in an image, not of what it calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.defend.attacks.base import IterativeAttack

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.streams import Streams
    from clearsight.defend.target import AttackBatch, GradientOutput, Target


class FeaturePerturbation(IterativeAttack):
    """Moves the inputs of the classifier's last linear layer (its features), by projected sign or l2 steps.

    ``away``: as far as possible from the image's own features (Mopuri et al. 2018, Naseer et al. 2018; the
    "feature perturbation" of the field), without a look at the labels. ``towards``: to the features of
    another image, a guide of another class (Sabour et al. 2016). Guides are images of the same batch:
    ids and guides are placed on a circle by their random streams, and each image takes the next ones of
    another class. So an image's guide may differ in another batch; an image without one moves away from its
    own features.
    """

    kind: Literal["feature"] = "feature"
    purpose: ClassVar[str] = "moves the penultimate features away, or towards another image's"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    direction: Literal["towards", "away"] = "away"
    """``away`` from the image's own features, or ``towards`` those of an image of another class."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Random starts, each with another guide; only images that survived the ones before are tried again."""

    @property
    def company(self) -> bool:
        """Return True where an image's result may depend on which others are in its batch."""
        return self.direction == "towards"

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        # One more of each to read the features that it starts from.
        return self.restarts * (self.steps + 1) + 1, self.restarts * self.steps + 1

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return, for each image, the misclassified point, or else the end of the last start."""
        import torch

        from clearsight.defend.search.streams import Streams

        streams = Streams(rng, batch.ids)
        guides = self._guides(batch, rng)
        features = _features(target, batch)
        out = batch.images.clone()
        left = torch.arange(len(batch), device=out.device)
        for guide in guides.unbind(1):
            if not len(left):
                break
            chosen = guide[left]
            goal = features[torch.where(chosen < 0, left, chosen)]
            sign = torch.where(chosen < 0, 1.0, -1.0)
            out[left], broken = self._climb(target, batch.of(left), (goal, sign), streams, left)
            left = left[~broken]
        return out

    def _guides(self, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return positions (n, restarts) of the guides; -1 where there is none."""
        import torch

        n, labels = len(batch), batch.labels.tolist()
        guides = torch.full((n, self.restarts), -1)
        if self.direction == "towards":
            place = [rng.at(name, "guide").integer() for name in batch.ids]
            circle = sorted(range(n), key=place.__getitem__)
            for at, i in enumerate(circle):
                others = (j for j in circle[at + 1 :] + circle[:at] if labels[j] != labels[i])
                taken = [j for _, j in zip(range(self.restarts), others, strict=False)]
                # Fewer guides than restarts: they serve again, from other starts.
                for k in range(self.restarts if taken else 0):
                    guides[i, k] = taken[k % len(taken)]
        return guides.to(batch.images.device)

    def _climb(
        self,
        target: Target,
        batch: AttackBatch,
        goal: tuple[Tensor, Tensor],
        streams: Streams,
        at: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the ends of one start and which are misclassified.

        ``goal``: features (n, d), and (n,) 1 to move away from them or -1 to move there.
        """
        from clearsight.defend.search.balls import project, random_point, steepest_direction
        from clearsight.defend.search.gradient_ascent import gradient_ascent

        centre, (features, sign) = batch.images, goal
        x = random_point(centre, self.norm, self.eps, streams, at)

        def look(x: Tensor, active: Tensor) -> GradientOutput:
            def distance(seen: Tensor) -> Tensor:
                return sign[active] * (seen - features[active]).square().sum(1)

            return target.features(x, batch.rows[active], distance)

        def move(x: Tensor, gradient: Tensor, active: Tensor) -> Tensor:
            moved = x + self.length * steepest_direction(gradient, self.norm, x=x)
            return project(moved, centre[active], self.norm, self.eps)

        return gradient_ascent(target, batch, x, steps=self.steps, look=look, move=move)


def _features(target: Target, batch: AttackBatch) -> Tensor:
    """Return the features (n, d) of the images; of a random system, the mean over its draws."""
    import torch

    seen: list[Tensor] = []

    def compare(features: Tensor) -> Tensor:
        seen.append(features.detach())
        # Any loss with a gradient would do: a flat one would look like a masked gradient.
        return 0.5 * features.square().sum(1)

    target.features(batch.images, batch.rows, compare)
    return torch.stack(seen).mean(0)
