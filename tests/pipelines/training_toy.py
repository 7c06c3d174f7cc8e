"""Trainings of seconds: synthetic signs of 16 pixels, a tiny classifier, a tiny denoiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import save
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.loop import StepReport
from clearsight.restore.learned.unet_denoiser import UNetDenoiser

CARD = dict.fromkeys(("data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), "")


class KilledError(Exception):
    """Stands for a kill between two steps."""


def stop_after(step: int) -> Callable[[StepReport], None]:
    def tell(progress: StepReport) -> None:
        if progress.step == step:
            raise KilledError

    return tell


def signs(**changes: Any) -> TrainConfig:
    """102 signs, 34 of them validation: 4 steps an epoch."""
    base: dict[str, Any] = {
        "name": "toy",
        "data": {"kind": "signs", "split": "train", "count": 102, "pixels": 16},
        "validation": {"per_class": 2},
        "model": {"kind": "small_convnet", "width": 4, "blocks": 1},
        "augment": {"crop": 1, "flip": False},
        "optimiser": {"kind": "sgd", "rate": "5e-2"},
        "epochs": 2,
        "batch": 17,
        "checks": 4,
        "ema": 0.9,
    }
    merged = base | changes
    return TrainConfig.model_validate({name: value for name, value in merged.items() if value is not ...})


def recipe(kind: str, images: Path) -> str:
    """Return the YAML of an epoch of a tiny network: a classifier on class folders, else a denoiser.

    Args:
        kind: of the source: ``folder`` or ``files``.
        images: its path.
    """
    classifies = kind == "folder"
    model = (
        "{kind: small_convnet, width: 4, blocks: 1}" if classifies else "{kind: ffdnet, width: 8, depth: 3}"
    )
    return f"""
task: train
name: t
data: {{kind: {kind}, path: {images}}}
validation: {{fraction: 0.3}}
model: {model}
method: {{kind: {"standard" if classifies else "denoise"}}}
epochs: 1
batch: 4
checks: 1
ema: null
patch: 16
augment: {{crop: 0}}
"""


def denoiser(folder: Path, **fields: Any) -> dict[str, Any]:
    """Write weights of a tiny denoiser and return the part that uses them."""
    spec = UNetDenoiser(**({"width": 4, "sigma": 8 / 255} | fields))
    network = spec.network()
    # A fresh one is the identity.
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=Rng(9).at(name).torch()))
    told = CARD | {"id": "tiny", "spec": spec.model_dump(mode="json", exclude={"weights"})}
    save(folder, network.state_dict(), told)
    return {"kind": "unet_denoiser", "weights": str(folder), "sigma": "8/255"}


class Counting(Method):
    """Cross-entropy; claims three back-propagations for every second image, and notes its history."""

    kind: Literal["counting"] = "counting"

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        assert batch.labels is not None
        assert batch.tally.passes == 0
        SEEN.append(batch.history)
        batch.tally.passes += 3 * (len(batch.images) // 2)
        yield MODEL, nn.functional.cross_entropy(networks[MODEL](batch.images), batch.labels)


SEEN: list[tuple[tuple[float, float], ...]] = []
"""Histories that `Counting` was handed."""
