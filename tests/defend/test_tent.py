"""TENT and EATA: what is learned from, what is forgotten, and that nothing outlives a batch."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.networks.blended_norm import BlendedNorm, blend_norms
from clearsight.defend.networks.entropy_steps import (
    EntropySteps,
    Settings,
    affine_weights,
    entropy_of,
    fisher_information,
)

INNER = {"kind": "preact_resnet", "classes": 5, "depth": 10, "width": 4}
PLAIN = Settings(0.5, 0.0, 4, None, None, 0.0)


def batch(n: int = 8, salt: int = 1) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=Rng(salt).torch())


def small(classes: int = 3) -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    ).eval()
    with torch.no_grad():
        for i, (name, weight) in enumerate(network.named_parameters()):
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=Rng(9).at(i).torch()))
            elif not name.startswith("1."):
                weight.zero_()
    blend_norms(network, 4.0)
    return network


def by_hand(network: nn.Module, images: Tensor, rate: float) -> Tensor:
    """Return what two steps of four images give, with autograd on the layer itself."""
    norm = next(layer for layer in network.modules() if isinstance(layer, BlendedNorm)).norm
    answers = []
    for part in images.split(4):
        logits = network(part)
        answers.append(logits.detach())
        gradients = torch.autograd.grad(entropy_of(logits).mean(), [norm.weight, norm.bias])
        with torch.no_grad():
            for weight, gradient in zip((norm.weight, norm.bias), gradients, strict=True):
                weight.sub_(rate * gradient)
    return torch.cat(answers)


def test_plain_tent_is_a_step_of_sgd_on_the_entropy_after_each_answer() -> None:
    images = batch()
    found = EntropySteps(small(), PLAIN)(images)
    torch.testing.assert_close(found, by_hand(small(), images, 0.5))
    # The first step is answered before anything is learned; the second is not.
    untouched = small()(images[:4])
    torch.testing.assert_close(found[:4], untouched)
    assert not torch.allclose(found[4:], small()(images[4:]), atol=1e-4)


def test_a_step_lowers_the_entropy_of_the_same_images() -> None:
    twice = torch.cat([batch(4), batch(4)])
    first, second = EntropySteps(small(), PLAIN)(twice).split(4)
    assert entropy_of(second).mean() < entropy_of(first).mean()


def test_unsure_answers_teach_nothing() -> None:
    images = batch()
    with torch.no_grad():
        least = float(entropy_of(small()(images)).min())
    strict = Settings(0.5, 0.0, 4, 0.9 * least / log(3), None, 0.0)
    torch.testing.assert_close(
        EntropySteps(small(), strict)(images), torch.cat([small()(part) for part in images.split(4)])
    )


def test_redundant_answers_teach_nothing() -> None:
    """The first four teach; the same four again are not new."""
    repeated = torch.cat([batch(4)] * 3)
    new_only = Settings(0.1, 0.0, 4, 1.0, 0.5, 0.0)
    first, second, third = EntropySteps(small(), new_only)(repeated).split(4)
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, third)
    everything = EntropySteps(small(), Settings(0.1, 0.0, 4, 1.0, None, 0.0))(repeated).split(4)
    assert not torch.allclose(everything[1], everything[2], atol=1e-6)


def test_the_fisher_information_holds_what_matters() -> None:
    images, network = batch(), small()
    importance = fisher_information(network, list(batch(16, 2).split(8)))
    assert importance.keys() == affine_weights(network).keys()
    assert all((value >= 0).all() for value in importance.values())
    assert sum(float(value.sum()) for value in importance.values()) > 0
    # Held by all alike, the weights of a long stream stay nearer to where they were, and so do the answers.
    long = torch.cat([images] * 8)
    all_alike = {name: torch.ones_like(value) for name, value in importance.items()}
    free = EntropySteps(small(), Settings(0.05, 0.0, 4, None, None, 0.0))(long)
    held = EntropySteps(small(), Settings(0.05, 0.0, 4, None, None, 8.0), all_alike)(long)
    with torch.no_grad():
        start = torch.cat([small()(part) for part in long.split(4)])
    assert (held - start).abs()[-8:].mean() < 0.7 * (free - start).abs()[-8:].mean()


@pytest.mark.parametrize("how", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_nothing_outlives_a_batch(how: Any) -> None:
    model = CLASSIFIERS.parse({"kind": "tent", "classifier": INNER, "rate": 0.1, "step": 4}).build()
    with how():
        first = model(batch())
        other = model(1 - batch())
        assert torch.equal(first, model(batch()))
    assert not first.requires_grad
    assert not torch.equal(first, other)


def test_it_says_what_it_is() -> None:
    spec = CLASSIFIERS.parse({"kind": "tent", "classifier": INNER, "step": 4, "rate": 0.1, "entropy": None})
    assert spec.batch_dependent
    assert spec.gradient is Gradient.BLOCKED
    model = spec.build()
    shuffled = model(batch().flip(0)).flip(0)
    assert not torch.allclose(model(batch()), shuffled, atol=1e-6)


def test_clean_images_are_part_of_the_key(tmp_path: Path) -> None:
    from toy_images import write_images

    folder = write_images(tmp_path / "clean", 6, (16, 16))
    told = {"kind": "tent", "classifier": {"kind": "small_convnet", "weights": "signs-standard-v1"}}
    clean = {"kind": "folder", "path": str(folder), "size": 16}
    plain, held = CLASSIFIERS.parse(told), CLASSIFIERS.parse(told | {"clean": clean, "step": 3})
    assert plain.fingerprint() != held.fingerprint()
    before = held.fingerprint()
    (folder / "class0" / "0.png").unlink()
    assert held.fingerprint() != before
    assert held.build()(batch(6)).shape == (6, 17)
