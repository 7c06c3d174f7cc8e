"""A sense is trained through the one loop, judged by what it names, and carries on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import training_toy as toy
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.data.weights import state
from clearsight.pipelines.cli.weights import headline
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.loop import train
from clearsight.restore.sense_base import DAMAGE


def config(**changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {
        "model": {"kind": "degradation_sense", "width": 4, "hidden": 8},
        "method": {"kind": "degradation", "sides": [16]},
        "augment": {"crop": 0, "flip": True},
        "optimiser": {"kind": "adamw", "rate": 5e-3},
        "checks": 1,
        "epochs": 2,
    }
    return toy.signs(**(fields | changes))


@pytest.mark.slow
def test_it_is_trained_judged_and_continued(tmp_path: Path) -> None:
    done = train(config(), folder=tmp_path / "whole", device="cpu")
    with pytest.raises(toy.KilledError):
        train(config(), folder=tmp_path / "killed", device="cpu", on_progress=toy.stop_after(5))
    again = train(config(), folder=tmp_path / "killed", device="cpu")
    one, two = (state(str(each.weights.folder)) for each in (done, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    card = done.weights.card
    assert card["spec"] == {"kind": "degradation_sense", "width": 4, "hidden": 8}
    assert card["speed"]["milliseconds"] > 0
    figure = card["figures"]["validation"]
    assert set(DAMAGE) < set(figure)
    for damage in DAMAGE:
        assert figure[damage]["low"] <= figure[damage]["named"] <= figure[damage]["high"]
        assert 0.0 <= figure[damage]["severity_error"] <= 5.0
    assert figure["n"] == 34
    assert "clean left alone" in headline(figure)
    assert "noise named" in headline(figure)


def test_crops_that_no_photograph_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="side of 16 pixels, and no crop is that small"):
        train(config(method={"kind": "degradation", "sides": [32]}), folder=tmp_path, device="cpu")


def test_methods_and_networks_belong_together() -> None:
    with pytest.raises(ValidationError, match="does not train a sense; these do: degradation"):
        config(method={"kind": "standard"})
    with pytest.raises(ValidationError, match="'augment.degrees' is for classifiers"):
        config(augment={"crop": 0, "degrees": 10})
