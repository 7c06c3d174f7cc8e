"""A method that examines changed images chooses the checkpoint by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from clearsight.data.contract.method import Method
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.training.adversarial import Adversarial
from clearsight.defend.training.standard import Standard
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.image_set import ImageSet, decode
from clearsight.pipelines.training.loop import StepReport, train
from clearsight.pipelines.training.scoring import Score, score


class Inverting(Method):
    """Examines negatives."""

    kind: Literal["inverting"] = "inverting"

    @property
    def robust_validation(self) -> str:
        return "negatives"

    def validation_attack(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        assert not model.training
        return 1.0 - images


class Bright(nn.Module):
    """Calls an image that is brighter than 0.5 class 1."""

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3)) - 0.5
        return torch.stack([-level, level], dim=1)


def part() -> ImageSet:
    images = torch.tensor([30, 60, 200, 220, 250], dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 4, 4, 3)
    return ImageSet(images, torch.tensor([0, 0, 1, 1, 0]), tuple("abcde"), "")


def test_both_accuracies_are_measured_and_told() -> None:
    found = score(Bright(), part(), "cpu", batch=2, method=Inverting())
    assert (found.right, found.n) == (4, 5)
    assert found.robust is not None
    assert (found.robust.right, found.robust.n) == (1, 5)
    assert found.rank == (0.2, -found.robust.loss)
    told = found.figure()
    assert (told["accuracy"], told["robust"]["accuracy"]) == (0.8, 0.2)
    assert told["robust"]["how"] == "negatives"
    assert told["robust"]["low"] < 0.2 < told["robust"]["high"]
    assert found.text().startswith("0.8000 [")
    assert "; negatives: 0.2000 [" in found.text()


def test_other_methods_are_measured_once() -> None:
    plain = score(Bright(), part(), "cpu")
    assert score(Bright(), part(), "cpu", method=Standard()) == plain
    assert plain.robust is None
    assert plain.rank == (0.8, -plain.loss)
    assert "robust" not in plain.figure()


def config(folder: Path) -> TrainConfig:
    """24 noisy images of two greys, 12x12; the last 4 of each are the test part."""
    for number in range(24):
        image = Rng(7).at(number).numpy().normal(110 + 36 * (number % 2), 20, (12, 12, 3)).clip(0, 255)
        place = folder / ("dark", "light")[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(place / f"{number:02d}.png")
    source: dict[str, Any] = {"kind": "folder", "path": str(folder), "hold_out": {"per_class": 4}}
    fields = {
        "name": "toy",
        "data": source | {"subset": "train"},
        "validation": {"per_class": 3},
        "test": source | {"subset": "held_out"},
        "model": {"kind": "small_convnet", "width": 4, "blocks": 1},
        "method": {"kind": "adversarial", "steps": 1, "eps": "12/255"},
        "optimiser": {"kind": "sgd", "rate": "5e-2"},
        "epochs": 12,
        "batch": 5,
        "checks": 6,
        "ema": 0.9,
    }
    return TrainConfig.model_validate(fields)


@pytest.mark.slow
def test_training_keeps_the_most_robust_weights(tmp_path: Path) -> None:
    run, seen = config(tmp_path), []

    def tell(progress: StepReport) -> None:
        if isinstance(progress.check, Score):
            seen.append(progress.check)

    done = train(run, folder=tmp_path / "run", device="cpu", on_progress=tell)
    assert len(seen) == 6
    kept = done.scores["validation"]
    # The kept weights are stored in half precision, so the loss may differ in its last digits.
    assert kept.rank == pytest.approx(max(each.rank for each in seen), abs=2e-3)
    for name in ("validation", "test"):
        told = done.weights.card["figures"][name]
        assert told["robust"]["how"] == "PGD-5, linf, eps 12/255, one random start"
        assert told["robust"]["accuracy"] <= told["accuracy"]
    assert run.test is not None
    model = CLASSIFIERS.parse({"kind": "small_convnet", "weights": str(done.weights.folder)}).build()
    again = score(model, decode(run.test, run.test.index().entries), "cpu", method=Adversarial(eps=12 / 255))
    assert again == done.scores["test"]
