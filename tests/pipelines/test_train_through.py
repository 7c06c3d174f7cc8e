"""A classifier that is trained behind restorers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import training_toy as toy
from pydantic import ValidationError
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import REQUIRED, state, verify
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.classifier import Classifier
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.training.image_set import decode
from clearsight.pipelines.training.loop import train
from clearsight.pipelines.training.publishing import Trained
from clearsight.pipelines.training.scoring import Score, score
from clearsight.pipelines.training.through import RestoreThenClassify, network_of, restore_then_classify
from clearsight.restore.catalogue import RESTORERS

GREY = {"width": 4, "channels": 1}


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, Any]:
    return toy.denoiser(tmp_path / "tiny")


def behind(*nodes: dict[str, Any], trained: bool = False) -> RestoreThenClassify:
    classifier = {"kind": "small_convnet", "width": 4, "blocks": 1, "classes": 3}
    specs = [RESTORERS.parse(node) for node in nodes]
    images = random_images()
    return restore_then_classify(
        specs, CLASSIFIERS.parse(classifier).build(), images, trained=trained, rng=Rng(1)
    )


def random_images() -> Tensor:
    return torch.rand((4, 3, 16, 16), generator=Rng(5).torch())


def tensors(done: Trained) -> dict[str, Tensor]:
    return state(str(done.weights.folder))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("trained", [False, True])
def test_the_gradient_goes_through_the_restorer(tiny: dict[str, Any], trained: bool) -> None:
    model = behind(tiny, trained=trained)
    x = random_images().requires_grad_()
    (whole,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    restorer = RESTORERS.parse(tiny).build()
    between = restorer(x)
    (late,) = torch.autograd.grad(model.classifier(between)[:, 0].sum(), between, retain_graph=True)
    (chained,) = torch.autograd.grad(between, x, late)
    assert torch.allclose(whole, chained, atol=1e-6)
    assert whole.abs().sum() > 0
    assert (whole - late).abs().mean() > 0.05 * late.abs().mean()


def test_frozen_restorers_are_out_of_reach(tiny: dict[str, Any]) -> None:
    model = behind(tiny)
    model.train()
    assert model.training
    assert model.classifier.training
    assert not any(module.training for module in model.restorers.modules())
    assert not any(parameter.requires_grad for parameter in model.restorers.parameters())
    assert all(name.startswith("classifier.") for name in model.state_dict())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    assert not any(parameter.requires_grad for parameter in model.restorers.parameters())
    assert torch.equal(copy.deepcopy(model)(random_images()), model(random_images()))


def test_trained_restorers_are_part_of_the_model(tiny: dict[str, Any]) -> None:
    model = behind(tiny, trained=True)
    inside = {name for name in model.state_dict() if not name.startswith("classifier.")}
    assert len(inside) == len(list(model.restorers.parameters()))
    assert model.classes == 3
    own = network_of(model, model.state_dict())
    assert own.keys() == model.classifier.network.state_dict().keys()


@pytest.mark.slow
def test_frozen_weights_stay_and_the_card_says_through_what(tiny: dict[str, Any], tmp_path: Path) -> None:
    method = {"kind": "adversarial", "steps": 2, "eps": "4/255"}
    before = state(tiny["weights"])
    test = {"kind": "signs", "count": 34, "pixels": 16}
    config = toy.signs(through=[tiny], method=method, test=test)
    done = train(config, folder=tmp_path / "run")
    verify(done.weights)
    assert equal(before, state(tiny["weights"]))
    assert not (tmp_path / "run" / "weights" / "toy-through1").exists()
    card = done.weights.card
    (told,) = card["through"]["restorers"]
    assert told["spec"]["weights"] == tiny["weights"]
    assert told["fingerprint"] == RESTORERS.parse(tiny).fingerprint()
    assert "trained" not in told
    assert card["spec"]["kind"] == "small_convnet"
    assert type(config).model_validate(card["recipe"]) == config
    # The figures are those of both as one system, and the classifier alone is another one.
    assert config.test is not None
    part = decode(config.test, config.test.index().entries)
    spec = CLASSIFIERS.parse({"kind": "small_convnet", "weights": str(done.weights.folder)})
    system = chain(RESTORERS.parse(tiny), spec).build()
    both, alone = (score(each, part, "cpu", method=config.method) for each in (system, spec.build()))
    told_of_test = done.scores["test"]
    assert isinstance(told_of_test, Score)
    # The order in memory differs, and with it the rounding of the loss.
    assert both.right == told_of_test.right
    assert both.loss == pytest.approx(told_of_test.loss, rel=1e-5)
    assert both.robust is not None
    assert told_of_test.robust is not None
    assert both.robust.loss == pytest.approx(told_of_test.robust.loss, rel=1e-5)
    assert alone.loss != pytest.approx(told_of_test.loss, rel=1e-4)


@pytest.mark.parametrize("average", [{"ema": 0.9}, {"ema": ..., "swa": 0.5}])
@pytest.mark.slow
def test_trained_restorers_learn_and_are_published(
    tiny: dict[str, Any], tmp_path: Path, average: dict[str, Any]
) -> None:
    config = toy.signs(through=[tiny], train_through=True, publish={"limits": "a toy"}, **average)
    done = train(config, folder=tmp_path / "run")
    beside = done.weights.folder.with_name("toy-through1")
    card = json.loads((beside / "card.json").read_text())
    assert set(REQUIRED) <= card.keys()
    assert (card["id"], card["trained_with"]) == ("toy-through1", "toy")
    assert card["limits"].startswith("Trained to help the classifier toy")
    assert card["limits"].endswith("a toy")
    assert done.weights.card["through"]["restorers"][0]["trained"] == "toy-through1"
    before, after = state(tiny["weights"]), state(str(beside))
    assert before.keys() == after.keys()
    assert not equal(before, after)
    # What was published is what was measured, up to the rounding of both to half precision.
    restorer = RESTORERS.parse({"kind": "unet_denoiser", "weights": str(beside)})
    assert restorer.resolved().sigma == 8 / 255  # type: ignore[attr-defined]
    spec = CLASSIFIERS.parse({"kind": "small_convnet", "weights": str(done.weights.folder)})
    part = decode(config.data, [e for e in config.data.index().entries if e.truth is not None][-34:])
    again = score(chain(restorer, spec).build(), part, "cpu")
    assert again == done.scores["validation"]


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.slow
def test_resume_is_exact(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    config = toy.signs(through=[tiny], train_through=trained)
    whole = train(config, folder=tmp_path / "whole")
    for step in (3, 6):
        with pytest.raises(toy.KilledError):
            train(config, folder=tmp_path / "parts", on_progress=toy.stop_after(step))
    parts = train(config, folder=tmp_path / "parts")
    assert equal(tensors(whole), tensors(parts))
    if trained:
        beside = [str(each.weights.folder.with_name("toy-through1")) for each in (whole, parts)]
        assert equal(state(beside[0]), state(beside[1]))


@pytest.mark.slow
def test_init_names_the_classifier(tiny: dict[str, Any], tmp_path: Path) -> None:
    first = train(toy.signs(epochs=1), folder=tmp_path / "one")
    still = {"kind": "sgd", "rate": 1e-12}
    config = toy.signs(epochs=1, init=str(first.weights.folder), through=[tiny], optimiser=still, ema=None)
    second = train(config, folder=tmp_path / "two")
    name = "stem.weight" if "stem.weight" in tensors(first) else next(iter(tensors(first)))
    assert torch.allclose(tensors(first)[name], tensors(second)[name], atol=1e-3)


def test_fresh_restorers_are_drawn_from_the_seed(tmp_path: Path) -> None:
    fresh = {"kind": "unet_denoiser", "width": 4, "sigma": "8/255"}
    with pytest.raises(ConfigError, match=r"'unet_denoiser' has no weights.*train_through: true"):
        behind(fresh)
    one, other = behind(fresh, trained=True), behind(fresh, trained=True)
    assert equal(dict(one.restorers.state_dict()), dict(other.restorers.state_dict()))
    built = RESTORERS.parse(fresh).build().state_dict()
    drawn = list(one.restorers.state_dict().values())
    assert not all(torch.equal(a, b) for a, b in zip(built.values(), drawn, strict=True))


@pytest.mark.slow
def test_a_restorer_that_enlarges_is_allowed(tmp_path: Path) -> None:
    larger = {"kind": "span", "scale": 2, "width": 8, "blocks": 1}
    done = train(toy.signs(epochs=1, through=[larger], train_through=True), folder=tmp_path)
    spec = CLASSIFIERS.parse({"kind": "small_convnet", "weights": str(done.weights.folder)})
    assert isinstance(spec.build(), Classifier)
    assert done.weights.folder.with_name("toy-through1").is_dir()


@pytest.mark.slow
def test_a_classical_restorer_has_nothing_to_publish(tmp_path: Path) -> None:
    done = train(toy.signs(epochs=1, through=[{"kind": "unsharp_mask"}]), folder=tmp_path)
    assert [path.name for path in done.weights.folder.parent.iterdir()] == ["toy"]
    with pytest.raises(ConfigError, match="none of the restorers has weights to train"):
        behind({"kind": "unsharp_mask"}, trained=True)


def refused() -> Iterator[tuple[dict[str, Any], str]]:
    yield (
        {"through": [{"kind": "bit_depth"}]},
        "'bit_depth' cannot be trained through: its gradient is surrogate",
    )
    yield (
        {"through": [{"kind": "random_resize"}]},
        "'random_resize' cannot be trained through: it draws random",
    )
    yield {"train_through": True}, "'train_through' needs 'through'"
    restorer = {"model": {"kind": "unet_denoiser"}, "method": {"kind": "denoise"}, "augment": {}}
    yield restorer | {"through": [{"kind": "unsharp_mask"}]}, "'through' is for classifiers"


@pytest.mark.parametrize(("changes", "message"), list(refused()), ids=str)
def test_what_cannot_be_trained_through_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        toy.signs(**changes)


def test_grey_restorers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"through\[0\]: 'unet_denoiser' takes grey images only"):
        behind(toy.denoiser(tmp_path, **GREY))


def test_a_hidden_block_is_named(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from clearsight.restore.learned.unet_denoiser import UNetDenoiser

    restore = UNetDenoiser.restore_told
    monkeypatch.setattr(
        UNetDenoiser,
        "restore_told",
        lambda self, x, network, sigma: restore(self, x.detach(), network, sigma.detach()),
    )
    with pytest.raises(ConfigError, match="no gradient comes through 'unet_denoiser'"):
        behind(tiny)


@pytest.mark.slow
def test_networks_that_bring_their_weights_are_not_trained() -> None:
    nested = {"kind": "plug_and_play", "iterations": 1}
    assert behind(nested)(random_images()).shape == (4, 3)
    with pytest.raises(ConfigError, match=r"'plug_and_play' cannot be trained: its weights are not its own"):
        behind(nested, trained=True)
