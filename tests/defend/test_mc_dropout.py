"""Monte Carlo dropout: the mean over masks, its streams, and the method that trains for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.networks.mc_dropout import DroppedHead, kept
from clearsight.defend.training.dropout import Dropout

INNER = {"kind": "small_convnet", "classes": 5, "width": 4, "blocks": 1}


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=Rng(1).torch())


def dropped(**fields: Any) -> Any:
    return CLASSIFIERS.parse({"kind": "mc_dropout", "classifier": INNER} | fields).build()


def test_a_mask_keeps_the_mean() -> None:
    mask = kept((200_000,), 0.2, Rng(0).torch())
    assert set(mask.tolist()) == {0.0, 1.25}
    assert float(mask.mean()) == pytest.approx(1, abs=0.005)


def test_the_answer_is_the_mean_probability_over_masks() -> None:
    linear, features = nn.Linear(3, 4), torch.rand(1, 3, generator=Rng(2).torch())
    head = DroppedHead(linear, 0.5, 20_000, "toy")
    head.generators = [Rng(3).torch()]
    exact = torch.zeros(4)
    for number in range(8):
        mask = torch.tensor([[float(number >> bit & 1) for bit in range(3)]])
        exact += linear(features * 2 * mask).softmax(1)[0] / 8
    with torch.no_grad():
        assert torch.allclose(head(features).exp()[0], exact, atol=0.01)


def test_streams_decide_image_by_image() -> None:
    model, batch = dropped(), images()
    streams = [Rng(number) for number in range(3)]
    with torch.no_grad():
        model.streams = streams
        together = model(batch)
        assert torch.equal(together, model(batch))
        model.streams = streams[1:2]
        assert torch.allclose(model(batch[1:2]), together[1:2], atol=1e-6)
        model.streams = None
        assert not torch.equal(model(batch), model(batch))
    assert torch.allclose(together.exp().sum(1), torch.ones(3), atol=1e-5)


def test_almost_no_dropout_is_the_classifier_itself_and_gradients_reach_the_image() -> None:
    model, plain, batch = dropped(rate=1e-9), CLASSIFIERS.parse(INNER).build(), images().requires_grad_()
    out = model(batch)
    assert torch.allclose(out, plain(batch).log_softmax(1), atol=1e-5)
    (gradient,) = torch.autograd.grad(out[:, 0].sum(), batch)
    assert gradient.abs().sum() > 0
    spec = model.spec
    assert spec.fingerprint() != spec.model_copy(update={"rate": 0.3}).fingerprint()
    assert (spec.stochastic, spec.trainable, model.classes) == (True, False, 5)


def test_features_of_another_rank_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"toy: the last linear layer is given \(2, 7, 3\)"):
        DroppedHead(nn.Linear(3, 4), 0.5, 2, "toy")(torch.zeros(2, 7, 3))


def step(model: nn.Module, method: Dropout, seed: int = 3) -> Tensor:
    batch = TrainBatch(images(), torch.tensor([0, 1, 2]), ("a", "b", "c"), 0.5)
    return next(iter(method.step({MODEL: model}, batch, Rng(seed))))[1]


def test_training_drops_features_and_leaves_no_trace() -> None:
    model = CLASSIFIERS.parse(INNER).build().train()
    assert not torch.equal(step(model, Dropout(rate=0.5)), step(model, Dropout(rate=0.5), 4))
    small = step(model, Dropout(rate=1e-9))
    assert torch.allclose(small, nn.functional.cross_entropy(model(images()), torch.tensor([0, 1, 2])))


def test_training_needs_a_linear_layer_that_is_reached() -> None:
    with pytest.raises(ConfigError, match="dropout: the network has no linear layer"):
        step(nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()), Dropout())

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    with pytest.raises(ConfigError, match="dropout does not reach the features; compile: false"):
        step(Unused(), Dropout())
