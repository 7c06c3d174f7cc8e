"""The card of trained weights: what they are, how they were trained, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from clearsight.data.contract.spec import kind_of
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.device import machine
from clearsight.pipelines.training.state import State
from clearsight.pipelines.training.task import Score, TrainingTask


def card(
    config: TrainConfig,
    task: TrainingTask,
    scores: Mapping[str, Score],
    *,
    last: Mapping[str, Score],
    state: State,
    device: str,
    time: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the card without the checksum, which `clearsight.data.weights.save` adds.

    Args:
        config: what was run.
        task: its model and its images.
        scores: part -> measured after training, with the weights as they are stored.
        last: the same of the weights at the end, where those of an earlier check are kept; else empty.
        state: at the end.
        device: where.
        time: how long one image takes, of a restorer.
    """
    chosen = "validation chose the checkpoint, so its figure is a little too good"
    decided = "; test decided nothing" if "test" in scores else ""
    figures = {name: each.figure() for name, each in scores.items()} | {"note": chosen + decided}
    if last:
        figures["last"] = {name: each.figure() for name, each in last.items()}
    batch = min(config.batch, len(task.ids))
    about = {
        "id": config.publish.id or config.name,
        "spec": task.spec.model_dump(mode="json", exclude={"weights"}),
        "data": {
            "about": config.publish.about,
            "source": config.data.model_dump(mode="json", exclude_defaults=True)
            | {"kind": kind_of(config.data)},
        }
        | task.facts()
        | {
            "skipped": {part: len(images) for part, images in task.skipped.items()},
            "passed_over": {source: len(files) for source, files in task.passed_over.items() if files},
        },
        "recipe": config.model_dump(mode="json", exclude={"publish"}),
        "config_key": config.key(),
        "seed": config.seed,
        "minutes": round(state.elapsed / 60, 2),
        "steps": state.step,
        "epochs": round(state.step * batch / len(task.ids), 2),
        "machine": machine(device),
        "precision": state.precision,
        "figures": figures,
    }
    if state.whole.passes:
        # Of the method's attack, an image and epoch, mean over the training.
        about["back_propagations"] = round(state.whole.an_image(batch), 3)
    if time is not None:
        about["speed"] = dict(time)
    return about | {
        "limits": config.publish.limits,
        "licence": config.publish.licence,
        "versions": {"torch": torch.__version__},
    }
