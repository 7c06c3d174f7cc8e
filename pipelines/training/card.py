"""The card of trained weights: what they are, how they were trained, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from clearsight.data.contract.spec import PartSpec, kind_of
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.device import machine
from clearsight.pipelines.training.state import State
from clearsight.pipelines.training.task import Score, TrainingTask


def beginning(config: TrainConfig | Fit, spec: PartSpec) -> dict[str, Any]:
    """Return what every card says first: what the weights are, of which data, by which recipe.

    Args:
        config: what was run.
        spec: the part that the weights belong to.
    """
    return {
        "id": config.publish.id or config.name,
        "spec": spec.model_dump(mode="json", exclude={"weights"}),
        "data": {
            "about": config.publish.about,
            "source": config.data.model_dump(mode="json", exclude_defaults=True)
            | {"kind": kind_of(config.data)},
        },
        "recipe": config.model_dump(mode="json", exclude={"publish"}),
        "config_key": config.key(),
        "seed": config.seed,
    }


def ending(config: TrainConfig | Fit) -> dict[str, Any]:
    """Return what every card says last."""
    return {
        "limits": config.publish.limits,
        "licence": config.publish.licence,
        "versions": {"torch": torch.__version__},
    }


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
    about = beginning(config, task.spec)
    about["data"] |= task.facts() | {
        "skipped": {part: len(images) for part, images in task.skipped.items()},
        "passed_over": {source: len(files) for source, files in task.passed_over.items() if files},
    }
    about |= {
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
    return about | ending(config)
