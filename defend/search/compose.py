"""Runs attacks one after the other, each on the images that survived the ones before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.search.losses import margin
from clearsight.defend.target import AttackBatch, Target

Run = Callable[[Target, AttackBatch, Rng], Tensor]
Member = tuple[str, Run]


def compose(target: Target, batch: AttackBatch, members: Sequence[Member], rng: Rng) -> Tensor:
    """Return, for each image, the first misclassified point that a member found, else the closest one.

    After every member the state is remembered, so that a killed run continues with the next one; the outcome
    is the same.

    Args:
        target: the system.
        batch: images that are classified correctly.
        members: (name, hook ``run`` of an attack), in order.
        rng: each member draws from the stream below it that bears its name.
    """
    cascade = Cascade(target, batch)
    begin = cascade.resume([name for name, _ in members])
    for name, run in members[begin:]:
        if not cascade.left.any():
            break
        cascade.attempt(name, run, cascade.left, rng.at(name))
    return cascade.images


class Cascade:
    """What a sequence of attempts has reached so far.

    Attributes:
        images: (n, c, h, w), the best point of each image.
        best: (n,) its margin: the best other logit minus the true one; positive: misclassified.
        left: (n,) True where no attempt has succeeded.
        extra: tensors that later attempts need; they are remembered with the rest.
    """

    def __init__(self, target: Target, batch: AttackBatch) -> None:
        """Begin with the images themselves."""
        self.target, self.batch = target, batch
        self.images = batch.images.clone()
        self.best = torch.full((len(batch),), -torch.inf, device=self.images.device)
        self.left = torch.ones(len(batch), dtype=torch.bool, device=self.images.device)
        self.extra: dict[str, Tensor] = {}

    def resume(self, names: Sequence[str]) -> int:
        """Restore what an interrupted run remembered; return the number of attempts that are done."""
        for i in reversed(range(len(names))):
            kept = self.target.recall(names[i])
            if kept is not None:
                kept = {key: tensor.to(self.images.device) for key, tensor in kept.items()}
                self.images, self.best, self.left = (kept.pop(key) for key in ("images", "best", "left"))
                self.extra = kept
                return i + 1
        return 0

    def attempt(self, name: str, run: Run, chosen: Tensor, rng: Rng) -> None:
        """Let one attack try the images ``chosen`` (bool (n,)), judge it, report it, remember the state."""
        since, at = self.target.totals, chosen.nonzero()[:, 0]
        some = self.batch.of(at)
        found = run(self.target, some, rng)
        logits = self.target.logits(found, some.rows)
        # Not the margin's sign: at a tie the prediction decides, as it does when the run judges.
        broken = logits.argmax(1) != some.labels
        reached = margin(some.labels)(logits)
        better = broken | (reached > self.best[at])
        self.images[at[better]], self.best[at[better]] = found[better], reached[better]
        self.left[at[broken]] = False
        self.target.report(name, tried=len(at), broken=int(broken.sum()), since=since)
        self.target.remember(name, images=self.images, best=self.best, left=self.left, **self.extra)
