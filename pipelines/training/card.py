"""The card of trained weights: what they are, how they came about, what they measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from data.contract.spec import kind_of
from pipelines.device import machine
from pipelines.training.config import TrainConfig
from pipelines.training.task import Score, Task


def card(
    config: TrainConfig,
    task: Task,
    scores: Mapping[str, Score],
    *,
    seconds: float,
    steps: int,
    device: str,
    time: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the card without the checksum, which `data.weights.save` adds.

    Args:
        config: what was run.
        task: its model and its pictures.
        scores: part -> measured after training, with the weights as they are stored.
        seconds: time in the loop.
        steps: steps done.
        device: where.
        time: how long one picture takes, of a restorer.
    """
    chosen = "validation chose the checkpoint, so its figure is a little too good"
    decided = "; test decided nothing" if "test" in scores else ""
    about = {
        "id": config.publish.id or config.name,
        "spec": task.spec.model_dump(mode="json", exclude={"weights"}),
        "data": {
            "about": config.publish.about,
            "source": config.data.model_dump(mode="json", exclude_defaults=True)
            | {"kind": kind_of(config.data)},
        }
        | task.facts(),
        "recipe": config.model_dump(mode="json", exclude={"publish"}),
        "config_key": config.key(),
        "seed": config.seed,
        "minutes": round(seconds / 60, 2),
        "steps": steps,
        "epochs": round(steps * config.batch / len(task.ids), 2),
        "machine": machine(device),
        "figures": {name: each.figure() for name, each in scores.items()} | {"note": chosen + decided},
    }
    if time is not None:
        about["speed"] = dict(time)
    return about | {
        "limits": config.publish.limits,
        "licence": config.publish.licence,
        "versions": {"torch": torch.__version__},
    }
