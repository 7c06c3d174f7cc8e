"""The card of trained weights: what they are, how they came about, what they measured."""

from __future__ import annotations

import platform
from typing import Any

import torch

from data.contract.spec import kind_of
from defend.base import ClassifierSpec
from pipelines.training.config import TrainConfig
from pipelines.training.pictures import Pictures
from pipelines.training.scoring import Score


def machine(device: str) -> str:
    """Return the kind of machine, in words."""
    if device.startswith("cuda"):
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


def card(
    config: TrainConfig,
    spec: ClassifierSpec,
    parts: dict[str, Pictures],
    scores: dict[str, Score],
    *,
    seconds: float,
    steps: int,
    device: str,
) -> dict[str, Any]:
    """Return the card without the checksum, which `data.weights.save` adds.

    Args:
        config: what was run.
        spec: the model with its classes filled in.
        parts: "train", "validation" and perhaps "test".
        scores: part -> measured after training, with the weights as they are stored.
        seconds: time in the loop.
        steps: steps done.
        device: where.
    """
    chosen = "validation chose the checkpoint, so its figure is a little too good"
    decided = "; test decided nothing" if "test" in scores else ""
    return {
        "id": config.publish.id or config.name,
        "spec": spec.model_dump(mode="json", exclude={"weights"}),
        "data": {
            "about": config.publish.about,
            "source": config.data.model_dump(mode="json", exclude_defaults=True)
            | {"kind": kind_of(config.data)},
            "pictures": {name: len(part) for name, part in parts.items()},
            "fingerprints": {name: part.fingerprint for name, part in parts.items()},
            "height": parts["train"].images.shape[1],
            "width": parts["train"].images.shape[2],
        },
        "recipe": config.model_dump(mode="json", exclude={"publish"}),
        "config_key": config.key(),
        "seed": config.seed,
        "minutes": round(seconds / 60, 2),
        "steps": steps,
        "epochs": round(steps * config.batch / len(parts["train"]), 2),
        "machine": machine(device),
        "figures": {name: each.figure() for name, each in scores.items()} | {"note": chosen + decided},
        "limits": config.publish.limits,
        "licence": config.publish.licence,
        "versions": {"torch": torch.__version__},
    }
