"""Sends one batch through an attack: the target it sees, the images it finds, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.rng import Rng
from clearsight.data.disk import KeptFile
from clearsight.data.finite import refuse_non_finite
from clearsight.defend.attacks.base import Attack
from clearsight.defend.search.balls import size
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.evaluation.rows import Batch
from clearsight.pipelines.systems.gradient_paths import Path, find_path
from clearsight.pipelines.systems.graph import OUT
from clearsight.pipelines.systems.slopes import slopes
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget, View
from clearsight.pipelines.utility.classification import CLASSES

Column = list[float | None]


@dataclass(frozen=True)
class Attacked:
    """A batch after an attack.

    Attributes:
        images: (n, c, h, w), adversarial, on the device.
        columns: perturbation sizes, queries, backward passes and share of zero gradients, one entry an image.
        facts: how the gradient went through the parts, whose is missing or false, and the members of a
            composition.
    """

    images: Tensor
    columns: dict[str, Column]
    facts: dict[str, Any]


def under_attack(
    attack: Attack,
    victim: System,
    batch: Batch,
    ids: Sequence[str],
    *,
    name: str,
    seed: int,
    device: str,
    memory: KeptFile | None = None,
) -> Attacked:
    """Attack a batch.

    Args:
        attack: the adversary.
        victim: what the threat model lets it see, on the device.
        batch: labelled images.
        ids: their names.
        name: what messages call the victim.
        seed: root of all random streams.
        device: where the victim is.
        memory: file in which a composition keeps its progress.

    Raises:
        AttackError: no gradient where one is needed, or a system or attack that misbehaves.
    """
    images = batch.images.to(device)
    labels = _labels(batch).to(device)
    view: View = attack.threat if attack.threat in ("scores", "labels") else "gradient"
    path = find_path(victim, images) if attack.sees == "gradient" else None
    target = SystemTarget(
        victim,
        ids,
        Rng(seed).at("draw", "attack"),
        view=view,
        eot=attack.averaged,
        stand_ins=path.stand_ins if path else {},
        name=name,
        memory=memory,
    )
    rows = torch.arange(len(ids), device=device)
    found = attack(target, AttackBatch(images, labels, tuple(ids), rows), Rng(seed).at("attack"))
    delta = found - images
    columns: dict[str, Column] = {
        "linf": size(delta, "linf").tolist(),
        "l2": size(delta, "l2").tolist(),
        "l1": size(delta, "l1").tolist(),
        "queries": target.queries.tolist(),
        "backwards": target.backwards.tolist(),
        "zero_gradients": [None if zeros != zeros else zeros for zeros in target.zero.tolist()],
    }
    facts = {
        "through": dict(path.how) if path else {},
        "broken": list(path.broken) if path else [],
        "false": _false(victim, images, ids, path) if path else [],
        "members": target.members,
    }
    return Attacked(found, columns, facts)


def majority(system: System, images: Tensor, ids: Sequence[str], *, seed: int, draws: int) -> Tensor:
    """Return the class (n,) that most of ``draws`` fresh draws predict; the lowest in a tie.

    Raises:
        DataError: logits of a draw that are not finite.
    """
    votes: Tensor | None = None
    for draw in range(draws):
        logits = system.trace(images, streams=judge_streams(ids, seed, draw))[OUT]
        refuse_non_finite(logits, f"the logits of draw {draw} are", ids)
        vote = functional.one_hot(logits.argmax(1), logits.shape[1])
        votes = vote if votes is None else votes + vote
    if votes is None:
        raise ValueError("a majority takes at least one draw")
    return votes.argmax(1)


def judge_streams(ids: Sequence[str], seed: int, draw: int) -> list[Rng]:
    """Return the streams of the draw that decides what a prediction was; no attack sees them."""
    return [Rng(seed).at("draw", "judge", name, draw) for name in ids]


def loss_before(logits: Tensor, batch: Batch) -> Column:
    """Return the loss of each image before the attack."""
    losses: Column = CLASSES.loss(logits.cpu(), _labels(batch)).tolist()
    return losses


def _false(victim: System, images: Tensor, ids: Sequence[str], path: Path) -> list[str]:
    """Return the parts that have a gradient which finite differences contradict."""
    streams = [Rng(0).at("slope", name) for name in ids]
    return [name for name, slope in slopes(victim, images, streams, path).items() if not slope.true]


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise AssertionError("the plan lets no attack on unlabelled images through")
    return batch.labels
