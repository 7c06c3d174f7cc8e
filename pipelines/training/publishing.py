"""The end of a run: measure the weights as they are stored, write them with their card, close the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearsight.data.contract.sample import Skipped
from clearsight.data.weights import Weights, save
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.speed import speed
from clearsight.pipelines.training.card import card
from clearsight.pipelines.training.curve import write_curve
from clearsight.pipelines.training.state import State
from clearsight.pipelines.training.task import Score, TrainingTask
from clearsight.pipelines.training.through import RestoreThenClassify, network_of, publish_restorers
from clearsight.restore.restorer import Restorer
from clearsight.restore.sense import Sense


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        weights: folder and card.
        folder: run folder.
        scores: part ("validation", "test") -> score of the weights as they are stored.
        last: the same of the weights at the end of the run, where those of an earlier check were better and
            are the stored ones; else empty.
        steps: steps done.
        seconds: time in the loop.
        skipped: part -> id and reason of each image that could not be used.
        passed_over: source -> files beside its images that were not used.
    """

    weights: Weights
    folder: Path
    scores: Mapping[str, Score]
    last: Mapping[str, Score]
    steps: int
    seconds: float
    skipped: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    passed_over: Mapping[str, Sequence[Skipped]] = field(default_factory=dict)


def publish(
    config: TrainConfig, task: TrainingTask, state: State, place: Path, device: str, *, processes: int = 1
) -> Trained:
    """Measure the weights as they will be stored (half precision) and write them with their card.

    Args:
        config: what was run.
        task: its images.
        state: at the end.
        place: run folder.
        device: where.
        processes: how many trained together.
    """
    model, end = state.model, state.candidate()
    best = state.best or end
    scores = _scores(task, model, best)
    last = {} if _equal(best, end) else _scores(task, model, end)
    _close(config, state, place, scores, last)
    model.eval()
    time = None
    if isinstance(model, Restorer):
        time = speed(model, channels=model.facts.channels[-1], device=device)
    elif isinstance(model, Sense):
        time = speed(model, device=device)
    facts = card(config, task, scores, last=last, state=state, device=device, time=time)
    if processes > 1:
        facts["machine"] += f", {processes} processes"
    folder = weights_folder(config, place)
    if isinstance(model, RestoreThenClassify):
        facts["through"] = {
            "note": "trained and measured behind these restorers, in this order: send images through them",
            "restorers": publish_restorers(model, best, folder, facts),
        }
    weights = save(folder, network_of(model, best), facts)
    return Trained(weights, place, scores, last, state.step, state.elapsed, task.skipped, task.passed_over)


def weights_folder(config: TrainConfig, place: Path) -> Path:
    """Return where the weights of a run go; ``place`` is the run folder."""
    return Path(config.publish.folder or place / "weights" / (config.publish.id or config.name))


def _scores(task: TrainingTask, model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Score]:
    stored = {
        name: value.half().float() if value.is_floating_point() else value for name, value in state.items()
    }
    return {name: task.score(model, name, state=stored) for name in task.measured}


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    # By value: a run that was begun before checks were recorded does not know which one was the best.
    return all(torch.equal(value, other[name].to(value.device)) for name, value in one.items())


def _close(
    config: TrainConfig, state: State, place: Path, scores: Mapping[str, Score], last: Mapping[str, Score]
) -> None:
    """Write the curve with the figures of both ends."""
    best = next((check for check in reversed(state.curve) if check.best), None)
    ends: dict[str, dict[str, Any]] = {
        "best": {"step": best.step, "epoch": best.epoch} if best else {},
        "last": {"step": state.step, "epoch": state.curve[-1].epoch} if state.curve else {},
    }
    for name, found in (("best", scores), ("last", last or scores)):
        ends[name] |= {part: each.figure() for part, each in found.items()}
    write_curve(place, config.name, state.curve, ends)
