"""What every training method for classifiers in the registry must do; a new file is tested by being there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow
from clearsight.data.initial import initialise
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.training.base import BallMethod, ClassifierMethod
from clearsight.defend.training.weight_perturbation import WeightPerturbation
from clearsight.pipelines.config.registries import METHODS

CLASSES, SIDE = 5, 8
ROWS: dict[str, list[dict[str, Any]]] = {
    "adversarial": [{"steps": 2}, {"steps": 1}, {"steps": 1, "guard": "ramp"}, {"steps": 2, "natural": 0.5}],
    "augmix": [{}, {"jsd": 0}],
    "fat": [{"steps": 3}, {"steps": 3, "faithful": "paper"}],
    "fat_trades": [{"steps": 3}],
    "free": [{"replays": 2}],
    "gair_fat": [{"steps": 3}],
    "gairat": [{"steps": 3}, {"steps": 2, "assign": "sigmoid"}, {"steps": 2, "assign": "discrete"}],
    "mart": [{"steps": 2}, {"steps": 2, "faithful": "paper"}],
    "noilin": [{"steps": 2}, {"steps": 2, "flip": "pair", "lowest": 0.5}],
    "trades": [{"steps": 2}, {"steps": 2, "faithful": "paper"}],
}
"""Small settings of each kind; a kind that is not here is tried as it stands."""
WITHOUT_SWITCHES = {"free"}
"""Kinds that take neither awp nor local_linearity."""
KINDS = [kind for kind, entry in METHODS.kinds.items() if entry.trains is Flow.LOGITS]


def cases() -> Iterator[Any]:
    """Return every setting of every kind; those that attack also in l2 and with the penalty on curvature."""
    for kind in KINDS:
        told = [dict(row) for row in ROWS.get(kind, [{}])]
        if issubclass(METHODS[kind], BallMethod):
            told.append(told[0] | {"norm": "l2", "eps": 0.5})
            if kind not in WITHOUT_SWITCHES:
                told.append(told[0] | {"local_linearity": 0.5})
        for row in told:
            name = "-".join([kind, *(f"{key}={value}" for key, value in row.items())])
            yield pytest.param({"kind": kind} | row, id=name)


every = pytest.mark.parametrize("fields", list(cases()))


def parse(fields: dict[str, Any], **more: Any) -> ClassifierMethod:
    return cast(ClassifierMethod, METHODS.parse(fields | more))


@cache
def original() -> nn.Module:
    spec = CLASSIFIERS.parse({"kind": "small_convnet", "width": 4, "blocks": 1, "classes": CLASSES})
    model: nn.Module = spec.build()
    initialise(model.get_submodule("network"), Rng(1).at("weights"))
    return model.train()


def network() -> nn.Module:
    return copy.deepcopy(original())


def batch(share: float = 1.0) -> TrainBatch:
    generator = Rng(2).torch()
    images = torch.rand(6, 3, SIDE, SIDE, generator=generator)
    images = ((images - 0.5) * 1.3 + 0.5).clamp(0, 1)
    labels = torch.randint(CLASSES, (6,), generator=generator)
    return TrainBatch(
        images, labels, tuple(map(str, range(6))), share, history=((0.1, 0.5), (0.2, 0.4), (0.3, 0.45))
    )


def step(
    method: ClassifierMethod, model: nn.Module, one: TrainBatch, rng: Rng, *, move: bool = False
) -> list[Tensor]:
    """Do one step as the loop does it; the weights move where ``move`` says so."""
    found = []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    for network, loss in method.step({MODEL: model}, one, rng):
        assert network == MODEL
        assert loss.ndim == 0
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if move:
            optimiser.step()
        found.append(loss.detach())
    return found


def test_there_are_methods() -> None:
    assert {"standard", "augmix", "gaussian", "adversarial", "trades", "fat", "gairat", "free"} <= set(KINDS)
    assert set(ROWS) <= set(KINDS)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@every
def test_a_step_gives_finite_losses_and_gradients(
    fields: dict[str, Any], share: float, no_global_rng: None
) -> None:
    method, model, one = parse(fields), network(), batch(share)
    kept = one.images.clone()
    found = step(method, model, one, Rng(3))
    assert found
    assert all(loss.isfinite() for loss in found)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert any(
        bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters() if parameter.grad is not None
    )
    assert all(module.training for module in model.modules())
    assert torch.equal(one.images, kept), "the batch is not the method's to change"
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    assert all(each.track_running_stats and int(each.num_batches_tracked or 0) > 0 for each in norms)


@every
def test_weights_alone_decide_and_only_the_optimiser_moves_them(fields: dict[str, Any]) -> None:
    method, model = parse(fields), network()
    before = {name: value.clone() for name, value in model.named_parameters()}
    step(method, model, batch(), Rng(3))
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    step(method, model, batch(), Rng(3), move=True)
    assert not all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@every
def test_same_stream_same_loss(fields: dict[str, Any]) -> None:
    method = parse(fields)
    found = [torch.stack(step(method, network(), batch(), Rng(seed))) for seed in (3, 3, 4)]
    assert torch.equal(found[0], found[1])
    if fields["kind"] != "standard":
        assert not torch.equal(found[0], found[2])


@every
def test_images_stay_in_range_but_for_noise(fields: dict[str, Any]) -> None:
    method, model = parse(fields), network()
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, told: seen.append(told[0].detach()))
    step(method, model, batch(), Rng(3))
    assert seen
    for images in seen:
        assert images.dtype == torch.float32
        assert images.shape[1:] == (3, SIDE, SIDE)
        if fields["kind"] != "gaussian":
            assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0


@every
def test_awp_goes_with_it(fields: dict[str, Any]) -> None:
    awp = WeightPerturbation(gamma=0.02)
    if fields["kind"] in WITHOUT_SWITCHES:
        with pytest.raises(ValidationError, match="awp"):
            parse(fields, awp=awp)
        return
    method, model = parse(fields, awp=awp), network()
    before = {name: value.clone() for name, value in model.named_parameters()}
    found = step(method, model, batch(), Rng(3))
    assert all(loss.isfinite() for loss in found)
    # No optimiser moved them: they are back where they were, but for rounding.
    for name, value in model.named_parameters():
        assert torch.allclose(value, before[name], atol=1e-6), name
        assert value.grad is not None, name


@every
def test_what_it_examines(fields: dict[str, Any], no_global_rng: None) -> None:
    method, model, one = parse(fields), network().eval(), batch()
    assert one.labels is not None
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        found = [method.validation_attack(model, one.images, one.labels, Rng(seed)) for seed in (3, 3, 4)]
    assert not found[0].requires_grad
    assert torch.equal(found[0], found[1])
    assert bool(method.robust_validation) != torch.equal(found[0], one.images)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert all(each.requires_grad and each.grad is None for each in model.parameters())
    if not isinstance(method, BallMethod):
        return
    assert f"PGD-{method.validation_steps}, {method.norm}" in method.robust_validation
    assert not torch.equal(found[0], found[2])
    change = (found[0] - one.images).flatten(1)
    far = change.abs().amax(1) if method.norm == "linf" else change.norm(dim=1)
    assert 0.5 * method.eps < float(far.max()) <= method.eps * (1 + 1e-5) + 1e-6
    assert 0.0 <= float(found[0].min()) <= float(found[0].max()) <= 1.0
    model.eval()
    with torch.no_grad():
        before, after = (
            nn.functional.cross_entropy(model(images), one.labels) for images in (one.images, found[0])
        )
    assert after > before


@every
def test_what_it_counts(fields: dict[str, Any]) -> None:
    method, one = parse(fields), batch()
    step(method, network(), one, Rng(3))
    if not isinstance(method, BallMethod) or fields["kind"] == "free":
        assert one.tally.passes == 0
    else:
        assert len(one.images) <= one.tally.passes <= len(one.images) * method.steps


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_needed(kind: str) -> None:
    with pytest.raises(DataError, match=f"{kind}: needs labels"):
        step(parse({"kind": kind}), network(), replace(batch(), labels=None), Rng(3))


@every
def test_yaml_round_trip(fields: dict[str, Any]) -> None:
    method = parse(fields, label_smoothing=0.1)
    again = METHODS.parse(yaml.safe_load(yaml.safe_dump(method.model_dump(mode="json"))))
    assert again == method
    assert again.key() == method.key()
    assert parse(fields).key() != method.key()


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_told(kind: str) -> None:
    entry = METHODS[kind]
    assert issubclass(entry, ClassifierMethod)
    assert entry.purpose
    assert entry.__doc__
    assert not entry.needs_reference
