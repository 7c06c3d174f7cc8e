"""Feature collision: features of the target, pixels of the base."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.defend.search.collision import collide


def linear(x: Tensor) -> Tensor:
    weights = torch.randn(3 * 36, 4, generator=Rng(1).torch()) / 10
    return x.flatten(1) @ weights


def drawn(name: str) -> Tensor:
    return 0.2 + 0.6 * torch.rand(5, 3, 6, 6, generator=Rng(2).at(name).torch())


def test_features_collide_and_pixels_stay_near(no_global_rng: None) -> None:
    bases, targets = drawn("bases"), drawn("targets")
    kept = bases.clone()
    found = collide(linear, bases, targets, eps=0.1)
    before, after = ((linear(x) - linear(targets)).norm(dim=1) for x in (bases, found))
    assert (after < 0.1 * before).all()
    assert float((found - bases).abs().max()) <= 0.1 + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(bases, kept)
    assert torch.equal(found, collide(linear, bases, targets, eps=0.1))


def test_it_is_never_farther_than_the_base_and_each_has_its_target() -> None:
    bases, targets = drawn("bases"), drawn("targets")
    none = collide(linear, bases, targets, eps=0.1, steps=0)
    assert torch.equal(none, bases)
    assert torch.allclose(
        collide(linear, bases[:2], targets[:2], eps=0.1),
        collide(linear, bases, targets, eps=0.1)[:2],
        atol=1e-5,
    )
    with pytest.raises(
        AttackError, match=r"feature collision: .*\(5, 3, 6, 6\) bases for \(2, 3, 6, 6\) targets"
    ):
        collide(linear, bases, targets[:2], eps=0.1)
