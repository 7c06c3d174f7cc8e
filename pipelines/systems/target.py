"""`SystemTarget`: a system as its attacker sees it, with counters, random draws and memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.disk import KeptFile
from clearsight.data.finite import refuse_non_finite
from clearsight.data.seals import unwrapped, wrapped
from clearsight.defend.classifier import features_layer
from clearsight.defend.target import GradientOutput, Loss
from clearsight.pipelines.systems.layers import layers_of_system
from clearsight.pipelines.systems.system import StandIn, System

View = Literal["gradient", "scores", "labels"]
LOG = logging.getLogger(__name__)


@dataclass
class SystemTarget:
    """One batch's view of a system.

    Attributes:
        system: in eval mode, on the device.
        ids: names of the images of the batch; a row is a position in it.
        rng: root of the draws of random parts.
        view: what is shown.
        eot: draws that logits and gradients are averaged over; 1 for deterministic systems.
        stand_ins: what the backward pass takes where a part has no gradient of its own.
        name: what messages call the system.
        memory: file that `remember` writes; None: nothing is kept.
        queries: (n,) forward passes of each image.
        backwards: (n,) gradients of each image.
        zero: (n,) share of zero or non-finite values in the first gradient of each image; nan where it was
            never asked for.
        members: what composed attacks reported of their members.
    """

    system: System
    ids: Sequence[str]
    rng: Rng
    view: View = "gradient"
    eot: int = 1
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    name: str = "system"
    memory: KeptFile | None = None

    def __post_init__(self) -> None:
        """Set the counters to zero and read what an interrupted try left."""
        n = len(self.ids)
        self.queries = torch.zeros(n, dtype=torch.int64)
        self.backwards = torch.zeros(n, dtype=torch.int64)
        self.zero = torch.full((n,), torch.nan)
        self.members: list[dict[str, Any]] = []
        self._draws = torch.zeros(n, dtype=torch.int64)
        self._kept = _read(self.memory)
        for parameter in self.system.parameters():
            parameter.requires_grad_(False)

    @property
    def classes(self) -> int:
        """Return the number of logits; raise `AttackError` where the system gives images."""
        if self.system.classes is None:
            raise AttackError("it gives images, not logits", where=self.name)
        return self.system.classes

    @property
    def stochastic(self) -> bool:
        """Return True where equal images may get different logits."""
        return self.system.stochastic

    @property
    def totals(self) -> tuple[int, int]:
        """Return all queries and all backwards so far."""
        return int(self.queries.sum()), int(self.backwards.sum())

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return logits; see `clearsight.defend.target.Target`."""
        with torch.no_grad():
            mean = torch.stack([self._forward(x, rows) for _ in range(self._repeats)]).mean(0)
        if self.view == "labels":
            return nn.functional.one_hot(mean.argmax(1), mean.shape[1]).to(mean.dtype)
        return mean

    def gradient(self, x: Tensor, rows: Tensor, loss: Loss) -> GradientOutput:
        """Return logits, losses and gradients; see `clearsight.defend.target.Target`."""
        return self._slope(x, rows, lambda leaf: self._with_logits(leaf, rows, loss))

    def features(self, x: Tensor, rows: Tensor, compare: Callable[[Tensor], Tensor]) -> GradientOutput:
        """As `gradient`, for a loss of the features that the classifier's last linear layer is given."""
        with _features_seen(self.system, self.name) as seen:

            def forward(leaf: Tensor) -> tuple[Tensor, Tensor]:
                seen.clear()
                logits = self._forward(leaf, rows)
                return logits, compare(seen[0].flatten(1))

            return self._slope(x, rows, forward)

    def screened(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> GradientOutput:
        """As `gradient`, for a loss of the logits and of what the detector beside them says."""
        node = self.system.graph.screen
        if node is None:
            raise AttackError("has no detector of attacked images", where=f"system '{self.name}'")

        def forward(leaf: Tensor) -> tuple[Tensor, Tensor]:
            values = self._values(leaf, rows)
            logits = values[self.system.graph.steps[-1].name].float()
            return logits, loss(logits, values[node].float())

        return self._slope(x, rows, forward)

    def layers(self) -> Sequence[tuple[str, nn.Module]]:
        """Return the layers of the network; see `clearsight.defend.target.Target`."""
        return layers_of_system(self.system)

    def recall(self, step: str) -> dict[str, Tensor] | None:
        """Return what `remember` kept under this name, and restore its counters; None for nothing."""
        prefix = f"{step}/"
        tensors = {name.removeprefix(prefix): t for name, t in self._kept.items() if name.startswith(prefix)}
        if not tensors:
            return None
        self.queries, self.backwards, self._draws = (tensors.pop(f"#{i}") for i in range(3))
        self.zero = tensors.pop("#3")
        self.members = json.loads(bytes(tensors.pop("#4").tolist()))
        return tensors

    def remember(self, step: str, **tensors: Tensor) -> None:
        """Keep tensors and counters, so that a killed run continues after this step."""
        if self.memory is None:
            return
        told = torch.tensor(list(json.dumps(self.members, allow_nan=False).encode()), dtype=torch.uint8)
        counters = (self.queries, self.backwards, self._draws, self.zero, told)
        whole = {name: t.cpu() for name, t in tensors.items()} | {f"#{i}": t for i, t in enumerate(counters)}
        self._kept = {f"{step}/{name}": t.clone().contiguous() for name, t in whole.items()}
        self.memory.write(wrapped(save(self._kept), self.memory.name))

    def report(self, member: str, *, tried: int, broken: int, since: tuple[int, int]) -> None:
        """Note what a member of a composition did: images, successes and what it cost since ``since``."""
        queries, backwards = self.totals
        cost = {"queries": queries - since[0], "backwards": backwards - since[1]}
        self.members.append({"member": member, "tried": tried, "broken": broken, **cost})

    @property
    def _repeats(self) -> int:
        return self.eot if self.stochastic else 1

    def _forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return the logits."""
        return self._values(x, rows)[self.system.graph.steps[-1].name].float()

    def _values(self, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return what every node gives, and count the pass."""
        at = rows.cpu()
        self.queries[at] += 1
        streams = None
        if self.stochastic:
            numbers = self._draws[at].tolist()
            streams = [self.rng.at(self.ids[i], k) for i, k in zip(at.tolist(), numbers, strict=True)]
            self._draws[at] += 1
        values = self.system.trace(x, streams=streams, stand_ins=self.stand_ins)
        logits = values[self.system.graph.steps[-1].name].float()
        names = [self.ids[i] for i in at.tolist()]
        refuse_non_finite(logits, "gives logits that are", names, where=f"system '{self.name}'")
        return values

    def _with_logits(self, leaf: Tensor, rows: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        logits = self._forward(leaf, rows)
        return logits, loss(logits)

    def _slope(
        self, x: Tensor, rows: Tensor, forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> GradientOutput:
        if self.view != "gradient":
            raise AttackError(f"shows {self.view} only, no gradients", where=f"system '{self.name}'")
        found = [self._one_slope(x, forward) for _ in range(self._repeats)]
        logits, losses, gradient = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
        at = rows.cpu()
        self.backwards[at] += self._repeats * (losses.shape[1] if losses.dim() == 2 else 1)
        self._look(at, gradient)
        # As `GradientOutput` promises.
        return GradientOutput(logits, losses, gradient.nan_to_num(0.0, 0.0, 0.0))

    def _one_slope(
        self, x: Tensor, forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        leaf = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            logits, losses = forward(leaf)
            many = losses if losses.dim() == 2 else losses[:, None]
            each = [
                _gradient(column.sum(), leaf, keep=i + 1 < many.shape[1])
                for i, column in enumerate(many.unbind(1))
            ]
        gradient = torch.stack(each, dim=1) if losses.dim() == 2 else each[0]
        return logits.detach(), losses.detach(), gradient

    def _look(self, rows: Tensor, gradient: Tensor) -> None:
        fresh = self.zero[rows].isnan()
        if fresh.any():
            flat = gradient.reshape(gradient.shape[0], -1)
            useless = ((flat == 0) | ~flat.isfinite()).float().mean(1).cpu()
            self.zero[rows[fresh]] = useless[fresh]


def _gradient(loss: Tensor, leaf: Tensor, *, keep: bool) -> Tensor:
    if not loss.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(loss, leaf, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


def watched_features(system: System, images: Tensor, streams: Sequence[Rng]) -> Tensor:
    """Return the features (n, d) that the last linear layer of a system's classifier is given.

    Args:
        system: that ends in a classifier.
        images: (n, c, h, w).
        streams: of each image, for random parts.

    Raises:
        AttackError: the classifier has no linear layer.
    """
    with _features_seen(system, system.graph.describe()) as seen:
        system.trace(images, streams=streams)
    return seen[-1].flatten(1)


@contextmanager
def _features_seen(system: System, name: str) -> Iterator[list[Tensor]]:
    """Note what the last linear layer of a system's classifier is given, pass by pass."""
    layer = features_layer(system.classifiers[-1]) if system.classifiers else None
    if layer is None:
        raise AttackError("has no linear layer whose input could serve as features", where=f"system '{name}'")
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


def _read(memory: KeptFile | None) -> dict[str, Tensor]:
    """Return what `SystemTarget.remember` left; nothing where it is damaged: those steps are repeated."""
    kept = None if memory is None else memory.read()
    if memory is None or kept is None:
        return {}
    # Its name says cell, chunk and batch.
    content = unwrapped(kept, memory.name)
    if content is None:
        LOG.warning("damaged, its steps are made again: %s", memory.path)
        return {}
    return load(content)
