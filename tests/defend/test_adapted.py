"""Batch normalisation that adapts to the batch at hand."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.networks.blended_norm import BlendedNorm, blend_norms

INNER = {"kind": "preact_resnet", "classes": 5, "depth": 10, "width": 4}


def batch(n: int = 6) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=Rng(1).torch())


def trained_norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([0.1, 0.2, 0.3]))
        norm.running_var.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, -1.0, 1.0]))
    return norm


def test_without_a_prior_it_is_the_layer_in_train_mode() -> None:
    norm, x = trained_norm(), batch()
    blended = BlendedNorm(norm, 0.0)(x)
    torch.testing.assert_close(blended, nn.BatchNorm2d.forward(trained_norm().train(), x))


def test_with_a_great_prior_it_is_the_layer_in_eval_mode() -> None:
    norm, x = trained_norm(), batch()
    torch.testing.assert_close(BlendedNorm(norm, 1e9)(x), norm(x), atol=1e-5, rtol=1e-5)


def test_the_weight_of_the_batch_is_its_size_over_size_and_prior() -> None:
    norm, x = trained_norm(), batch(4)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean = 0.2 * x.mean((0, 2, 3)) + 0.8 * norm.running_mean
    variance = 0.2 * x.var((0, 2, 3), unbiased=False) + 0.8 * norm.running_var
    wanted = (x - mean.view(1, 3, 1, 1)) / (variance.view(1, 3, 1, 1) + norm.eps).sqrt()
    wanted = wanted * norm.weight.view(1, 3, 1, 1) + norm.bias.view(1, 3, 1, 1)
    torch.testing.assert_close(BlendedNorm(norm, 16.0)(x), wanted)


def test_a_batch_leaves_nothing_behind() -> None:
    model = CLASSIFIERS.parse({"kind": "adapted", "classifier": INNER}).build()
    with torch.no_grad():
        first = model(batch())
        model(1 - batch())
        assert torch.equal(first, model(batch()))


def test_every_norm_is_replaced_once() -> None:
    model = CLASSIFIERS.parse(INNER).build()
    count = sum(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert blend_norms(model, 16.0) == count > 5
    assert sum(isinstance(layer, BlendedNorm) for layer in model.modules()) == count


def test_a_network_without_batch_normalisation_is_refused() -> None:
    flat = {"kind": "python", "call": "torch.nn:Flatten", "classes": 768}
    with pytest.raises(ConfigError, match="no batch normalisation that could adapt"):
        CLASSIFIERS.parse({"kind": "adapted", "classifier": flat}).build()


def test_weights_belong_to_the_inner_classifier() -> None:
    with pytest.raises(ValidationError, match="below 'classifier'"):
        CLASSIFIERS.parse({"kind": "adapted", "classifier": INNER, "weights": "signs-standard-v1"})


def test_the_key_follows_the_inner_weights_and_the_prior() -> None:
    inner = {"kind": "small_convnet", "weights": "signs-standard-v1"}
    first = CLASSIFIERS.parse({"kind": "adapted", "classifier": inner})
    other = CLASSIFIERS.parse({"kind": "adapted", "classifier": inner | {"weights": "signs-augmix-v1"}})
    weak = CLASSIFIERS.parse({"kind": "adapted", "classifier": inner, "prior": 1})
    assert len({first.fingerprint(), other.fingerprint(), weak.fingerprint()}) == 3
    assert first.resolved().class_names == CLASSIFIERS.parse(inner).resolved().class_names
