"""Corrupted images among those of a batch, and the plain mean of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_toy as toy
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruption_mixture import CorruptionMixture
from clearsight.data.weights import state
from clearsight.pipelines.config.train import Augment, TrainConfig
from clearsight.pipelines.training.average import Average
from clearsight.pipelines.training.loop import train

IDS = tuple(f"image/{number}" for number in range(40))


def grains() -> Tensor:
    return torch.randint(0, 256, (40, 16, 16, 3), generator=Rng(2).torch(), dtype=torch.uint8)


def test_the_share_is_corrupted_as_an_evaluation_does_it() -> None:
    mixture = CorruptionMixture(share=0.5, kinds=("brightness", "gaussian_noise"), severities=(2, 5))
    images, rng = grains(), Rng(3).at("step", 7)
    kept = images.clone()
    mixed = mixture.mixed(images, IDS, rng)
    assert torch.equal(images, kept)
    changed = [row for row in range(40) if not torch.equal(mixed[row], images[row])]
    assert 10 < len(changed) < 30
    found = set()
    for row in changed:
        for kind in mixture.kinds:
            for severity in (1, 2, 3, 4, 5):
                corruption = CORRUPTIONS[kind](severity=severity, table="imagenet_c")
                if np.array_equal(corruption(images[row].numpy(), rng.at(IDS[row])), mixed[row].numpy()):
                    found.add((kind, severity))
    assert found == {(kind, severity) for kind in mixture.kinds for severity in (2, 5)}
    assert not torch.equal(mixed, mixture.mixed(images, IDS, Rng(3).at("step", 8)))


def test_an_image_does_not_hang_on_its_company() -> None:
    mixture, images = CorruptionMixture(share=1, table="cifar_c"), grains()
    whole = mixture.mixed(images, IDS, Rng(1))
    assert torch.equal(mixture.mixed(images[5:9], IDS[5:9], Rng(1)), whole[5:9])
    assert not any(torch.equal(one, other) for one, other in zip(whole, images, strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kinds": ["fogg"]}, "no corruption 'fogg'; did you mean 'fog'"),
        ({"kinds": ["identity"]}, "no corruption 'identity'"),
        ({"kinds": []}, "at least 1"),
        ({"severities": [0]}, "greater than or equal to 1"),
        ({"share": 0}, "greater than 0"),
    ],
    ids=str,
)
def test_mixtures_that_mean_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CorruptionMixture.model_validate(fields)


@pytest.mark.slow
def test_training_on_corruptions_is_repeatable(tmp_path: Path, no_global_rng: None) -> None:
    mixture = {"share": 0.5, "severities": [1, 3]}
    config = toy.signs(epochs=1, augment={"crop": 1, "flip": False, "corruptions": mixture})
    runs = [train(config, folder=tmp_path / name) for name in ("a", "b")]
    assert runs[0].weights.sha256 == runs[1].weights.sha256
    plain = train(toy.signs(epochs=1), folder=tmp_path / "plain")
    assert plain.weights.sha256 != runs[0].weights.sha256
    told = runs[0].weights.card["recipe"]["augment"]["corruptions"]
    assert (told["share"], len(told["kinds"])) == (0.5, 15)


def test_images_that_are_too_small_are_refused_at_once(tmp_path: Path) -> None:
    data = {"kind": "signs", "split": "train", "count": 102, "pixels": 16, "size": 12}
    config = toy.signs(data=data, augment={"corruptions": {}})
    with pytest.raises(ConfigError, match="needs images of 16x16 pixels"):
        train(config, folder=tmp_path)


def test_restorers_take_no_mixture() -> None:
    told = {"model": {"kind": "unet_denoiser"}, "method": {"kind": "denoise"}}
    with pytest.raises(ValidationError, match=r"'augment.corruptions' is for classifiers"):
        toy.signs(**told, augment={"corruptions": {}})


def test_unused_fields_change_no_key() -> None:
    told = toy.signs().identity()
    assert not {"swa", "through", "train_through"} & told.keys()
    assert "corruptions" not in told["augment"]
    assert "corruptions" in Augment(corruptions=CorruptionMixture()).identity()
    keys = [toy.signs(ema=..., swa=swa).key() for swa in (0, 0.5)]
    assert len({*keys, toy.signs(ema=None).key(), toy.signs().key()}) == 4


def test_plain_mean_is_the_mean() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(2))
    average, states = Average(module, None), []
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=Rng(step).torch()))
            module.get_buffer("1.running_mean").add_(step)
            module.get_buffer("1.num_batches_tracked").add_(1)
        average.update(module)
        states.append({name: value.double() for name, value in module.state_dict().items()})
    for name, value in average.state.items():
        if value.is_floating_point():
            mean = torch.stack([each[name] for each in states]).mean(0)
            assert torch.allclose(value.double(), mean, atol=1e-6)
    assert int(average.state["1.num_batches_tracked"]) == 7


@pytest.mark.slow
def test_swa_begins_at_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    update = Average.update

    def noted(self: Average, module: nn.Module) -> None:
        update(self, module)
        steps.append(self.steps)

    monkeypatch.setattr(Average, "update", noted)
    plain = train(toy.signs(ema=None, epochs=1, checks=1), folder=tmp_path / "plain")
    # One pass of four steps: half of them averaged.
    swa = train(toy.signs(ema=..., swa=0.5, epochs=1, checks=1), folder=tmp_path / "swa")
    assert steps == [1, 2]
    last = train(toy.signs(ema=..., swa=1, epochs=1, checks=1), folder=tmp_path / "never")
    weights = [state(str(each.weights.folder)) for each in (plain, swa, last)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


@pytest.mark.slow
def test_swa_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    config = toy.signs(ema=..., swa=0.4)
    whole = train(config, folder=tmp_path / "whole")
    for step in (2, 6):
        with pytest.raises(toy.KilledError):
            train(config, folder=tmp_path / "parts", on_progress=toy.stop_after(step))
    assert train(config, folder=tmp_path / "parts").weights.sha256 == whole.weights.sha256


def test_one_average_at_a_time() -> None:
    with pytest.raises(ValidationError, match="either 'ema' or 'swa'"):
        toy.signs(ema=0.9, swa=0.5)
    config = toy.signs(ema=..., swa="3/4")
    assert (config.ema, config.swa) == (None, 0.75)
    assert TrainConfig.model_validate(config.model_dump()) == config
    assert toy.signs(ema=...).ema == 0.999
