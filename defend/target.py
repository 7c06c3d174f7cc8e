"""`Target`: what an attack may see of a system. The pipelines room supplies it; attacks know this alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
"""Logits (m, classes) to one loss an image (m,), or several (m, k); images must not mix."""


@dataclass(frozen=True)
class AttackBatch:
    """Images under attack.

    Attributes:
        images: float32 (n, c, h, w) in [0, 1], what the attack starts from.
        labels: int64 (n,), the true classes.
        ids: one stable name an image; random streams depend on it.
        rows: int64 (n,), the target's indices of these images, for its counters and random draws.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    rows: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)

    def of(self, chosen: Tensor) -> AttackBatch:
        """Return some of them; ``chosen`` is int64 (m,), or bool (n,)."""
        index = chosen if chosen.dtype == torch.int64 else chosen.nonzero()[:, 0]
        ids = tuple(self.ids[i] for i in index.tolist())
        return AttackBatch(self.images[index], self.labels[index], ids, self.rows[index])


@dataclass(frozen=True)
class GradientOutput:
    """What one look at the gradient gives.

    Attributes:
        logits: (m, classes).
        losses: (m,) or (m, k), as the loss gave them.
        gradient: (m, c, h, w) of ``losses``, or (m, k, c, h, w) where there are k of them. What is
            not finite is given as 0 and counted with the zeros: it would spoil all later steps of its image.
    """

    logits: Tensor
    losses: Tensor
    gradient: Tensor


class Target(Protocol):
    """A system as its attacker sees it.

    Logits and gradients of a system with random parts are means over fresh draws (EOT, Athalye et al. 2018).
    Every call is counted: an image costs one query for each forward pass (and draw), and one backward for
    each gradient (and draw).
    """

    @property
    def classes(self) -> int:
        """Return the number of logits."""

    @property
    def stochastic(self) -> bool:
        """Return True where equal images may get different logits."""

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return logits (m, classes) of ``x`` (m, c, h, w); ``rows`` says whose image each one is.

        A label-only view gives one-hot vectors of the predicted class.

        Raises:
            DataError: logits that are not finite.
        """

    def gradient(self, x: Tensor, rows: Tensor, loss: Loss) -> GradientOutput:
        """Return logits, losses and the gradient of each image's loss with respect to that image.

        Raises:
            AttackError: this view shows no gradients.
            DataError: logits that are not finite.
        """

    def features(self, x: Tensor, rows: Tensor, compare: Callable[[Tensor], Tensor]) -> GradientOutput:
        """Return what `gradient` does, for a loss of the classifier's penultimate features (m, d)."""

    def screened(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> GradientOutput:
        """Return what `gradient` does, for a loss (m,) of logits and of what the system's detector says (m,).

        Raises:
            AttackError: the system has no detector, or draws random numbers.
        """

    def layers(self) -> Sequence[tuple[str, nn.Module]]:
        """Return the layers of the network by name, in the order in which they compute.

        Raises:
            AttackError: the system is not one network whose layers follow one another.
        """

    @property
    def totals(self) -> tuple[int, int]:
        """Return all queries and all backwards so far."""

    def recall(self, step: str) -> dict[str, Tensor] | None:
        """Return what an interrupted run kept under this name with `remember`, and restore its counters.

        None where nothing was kept, or where a later step was remembered since.
        """

    def remember(self, step: str, **tensors: Tensor) -> None:
        """Keep tensors and counters in place of what was kept before, so that a killed run continues here."""

    def report(self, member: str, *, tried: int, broken: int, since: tuple[int, int]) -> None:
        """Note what a member of a composition did: images, successes, and its cost since these totals."""
