"""Counts a system's votes on noisy versions of images; an image's noise depends on its stream alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.target import AttackBatch, Target

Noisy = Callable[[Tensor, Tensor], Tensor]
"""Images (m, c, h, w) and standard normal numbers of their shape to what the system sees."""
KEPT_AFTER = 32
"""Batches after which the counts are kept, so that a killed run continues there: some ten seconds."""
STEP = "votes"
"""What the target remembers the counts under."""


@dataclass
class Ballots:
    """The votes on a batch of images, round after round.

    A round draws a number of noisy versions of each of some images. They are computed in batches of one size
    that run on from one image to the next, the last padded with copies, so that the system always computes
    the same shape. Each image has its own stream in each round and draws one version after the other: counts
    do not depend on the size of the batches, unless rounding decides between two classes.

    Attributes:
        target: the system; it is asked for logits alone.
        batch: the images.
        rng: root of the streams.
        size: noisy images computed together.
    """

    target: Target
    batch: AttackBatch
    rng: Rng
    size: int
    _done: dict[str, Tensor] = field(default_factory=dict)
    _begun: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the counts that an interrupted run kept."""
        for name, tensor in (self.target.recall(STEP) or {}).items():
            where = self._begun if name.startswith("#") else self._done
            where[name] = tensor

    def round(self, name: str, rows: Tensor, draws: int, noisy: Noisy) -> Tensor:
        """Return the votes (n, classes), int64; those of images that were not asked for are zero.

        Args:
            name: of the round, unique within a batch.
            rows: int64 (m,), positions in the batch.
            draws: noisy versions of each.
            noisy: makes them.
        """
        if name in self._done:
            return self._done[name]
        counts = torch.zeros(len(self.batch), self.target.classes, dtype=torch.int64)
        start, generator = 0, torch.Generator()
        if self._begun:
            counts, start = self._begun["#counts"], int(self._begun["#start"])
            generator.set_state(self._begun["#generator"])
        for number, first in enumerate(range(start, draws * len(rows), self.size), 1):
            versions = torch.arange(first, min(first + self.size, draws * len(rows)))
            places = rows[versions // draws]
            noise = []
            for version, place in zip(versions.tolist(), places.tolist(), strict=True):
                if version % draws == 0:
                    generator = self.rng.at(name, self.batch.ids[place]).torch()
                noise.append(torch.randn(self.batch.images.shape[1:], generator=generator))
            counts.index_put_((places, self._said(places, torch.stack(noise), noisy)), _ONE, accumulate=True)
            if number % KEPT_AFTER == 0:
                state = generator.get_state()
                self._keep({"#counts": counts, "#start": versions[-1] + 1, "#generator": state})
        self._begun = {}
        self._done[name] = counts
        self._keep({})
        return counts

    def _said(self, places: Tensor, noise: Tensor, noisy: Noisy) -> Tensor:
        """Return the class (m,) of each noisy version."""
        device, missing = self.batch.images.device, self.size - len(places)
        chosen = places.to(device)
        x = noisy(self.batch.images[chosen], noise.to(device))
        rows = self.batch.rows[chosen]
        if missing:
            x = torch.cat([x, x[-1:].expand(missing, -1, -1, -1)])
            rows = torch.cat([rows, rows[-1:].expand(missing)])
        return self.target.logits(x, rows).argmax(1)[: len(places)].cpu()

    def _keep(self, begun: dict[str, Tensor]) -> None:
        self.target.remember(STEP, **self._done, **begun)


_ONE = torch.ones((), dtype=torch.int64)
