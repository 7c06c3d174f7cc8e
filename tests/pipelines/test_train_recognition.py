"""A restorer is trained and judged through a frozen classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
import training_toy as toy
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.loop import train
from clearsight.pipelines.training.restoring import Restoring
from clearsight.restore.base import RestorerSpec

CONTRASTS = """
import torch
from torch import nn


class Contrasts(nn.Module):
    # Of little, middling or much contrast, by the deviation of all values.
    def __init__(self):
        super().__init__()
        self.register_buffer("centres", torch.tensor([0.12, 0.17, 0.22]))

    def forward(self, x):
        return -300.0 * (x.std(dim=(1, 2, 3))[:, None] - self.centres).square()
"""


@pytest.fixture
def classifier(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "contrasts.py").write_text(CONTRASTS)
    return {"kind": "python", "call": f"{tmp_path}/contrasts.py:Contrasts", "classes": 3}


def config(*recognisers: dict[str, Any], **changes: Any) -> TrainConfig:
    corruptions = {"share": 0.8, "kinds": ["contrast"], "severities": [5]}
    fields: dict[str, Any] = {
        "model": {"kind": "clarity", "width": 8, "deep": 1, "hidden": 32},
        "method": {"kind": "recognition", "corruptions": corruptions, "image_weight": 10.0},
        "recognisers": list(recognisers),
        "patch": 16,
        "augment": {"crop": 0, "flip": False},
        "optimiser": {"kind": "adamw", "rate": 5e-3},
    }
    return toy.signs(**(fields | changes))


@pytest.mark.slow
def test_it_learns_what_the_classifier_needs(classifier: dict[str, Any], tmp_path: Path) -> None:
    done = train(config(classifier, epochs=20), folder=tmp_path / "run", device="cpu")
    card = done.weights.card
    assert card["spec"]["kind"] == "clarity"
    assert card["data"]["recognisers"] == [f"python '{classifier['call']}'"]
    figure = card["figures"]["validation"]
    corrupted, clean = figure["corrupted"], figure["clean"]
    assert corrupted["low"] <= corrupted["agreement"] <= corrupted["high"]
    assert corrupted["agreement"] > corrupted["input"] + 0.1
    assert clean["input"] == 1.0
    assert clean["agreement"] > 0.8
    assert figure["n"] == 34


def test_a_method_and_its_classifiers_belong_together(classifier: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs 'recognisers'"):
        config()
    with pytest.raises(ValidationError, match="takes no 'recognisers'"):
        config(classifier, method={"kind": "denoise"}, model={"kind": "unet_denoiser", "width": 4})


def test_a_classifier_without_weights_is_refused(tmp_path: Path) -> None:
    blank = {"kind": "small_convnet", "classes": 17}
    with pytest.raises(ConfigError, match="'small_convnet' has no weights"):
        train(config(blank), folder=tmp_path, device="cpu")


LABELLED = {"kind": "recognition", "label_weight": 0.5}
SEVENTEEN = """
import torch
from torch import nn


class Seventeen(nn.Module):
    def forward(self, x):
        return x.mean(dim=(1, 2, 3))[:, None] * torch.arange(17.0)
"""


@pytest.mark.slow
def test_labels_reach_the_step_where_they_count(tmp_path: Path) -> None:
    (tmp_path / "seventeen.py").write_text(SEVENTEEN)
    told = {"kind": "python", "call": f"{tmp_path}/seventeen.py:Seventeen", "classes": 17}
    rows = torch.tensor([3, 50, 7])
    for method, expected in ((LABELLED, True), ({"kind": "recognition"}, False)):
        spec = config(told, method=method)
        task = Restoring(spec, cast(RestorerSpec, spec.model), "cpu")
        batch = task.batch(rows, Rng(0), 0.0)
        if not expected:
            assert batch.labels is None
            continue
        # The number of a sign tells its class: they take turns.
        assert batch.labels is not None
        assert batch.labels.tolist() == [int(name.rpartition("/")[2]) % 17 for name in batch.ids]
    assert train(config(told, method=LABELLED, epochs=1), folder=tmp_path / "run", device="cpu").steps == 4


def test_labels_that_mean_other_classes_are_refused(classifier: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recognisers\[0\].* knows classes 0 to 2"):
        train(config(classifier, method=LABELLED), folder=tmp_path / "run", device="cpu")


def test_unused_recognisers_change_no_key() -> None:
    assert "recognisers" not in toy.signs().identity()
