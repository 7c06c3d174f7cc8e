"""PRIME: each family does what its mathematics say, and an image's versions are its own."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.training.chains.prime import (
    Strengths,
    displaced,
    filtered,
    prime_versions,
    recoloured,
)
from clearsight.pipelines.config.registries import METHODS

STRENGTHS = Strengths(4.0, 0.05, 0.05)


def images(n: int = 4, side: int = 24) -> Tensor:
    return torch.rand(n, 3, side, side, generator=Rng(5).torch())


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=Rng(6).torch())


def test_a_filter_is_the_identity_plus_its_taps_on_every_channel() -> None:
    batch, taps = images(2), normal(2, 9)
    found = filtered(batch, taps)
    for image, kernel, ours in zip(batch.numpy(), taps.view(2, 3, 3).numpy(), found.numpy(), strict=True):
        whole = kernel + np.eye(3)[1][:, None] * np.eye(3)[1]
        wanted = [correlate(channel, whole, mode="mirror") for channel in image]
        assert np.allclose(ours, wanted, atol=1e-4)
    assert torch.equal(filtered(batch, torch.zeros(2, 9)), batch)


def test_a_curve_adds_sine_waves_to_the_values() -> None:
    levels = torch.arange(256).repeat(3, 1).view(1, 3, 16, 16) / 255
    waves = 0.1 * normal(1, 3, 2)
    found = recoloured(levels, waves, torch.tensor([3]))
    for channel in range(3):
        a, b = waves[0, channel]
        wanted = (
            levels[0, channel]
            + a * (pi * 4 * levels[0, channel]).sin()
            + b * (pi * 5 * levels[0, channel]).sin()
        )
        torch.testing.assert_close(found[0, channel], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cut", [2, 5, 10])
def test_a_displacement_has_the_size_that_is_asked_for_and_does_not_fold(cut: int) -> None:
    side, m = 64, 8
    ramp = torch.linspace(0, 1, side)
    # Images of their own coordinates: what comes out is where each pixel was taken from.
    places = torch.stack([ramp[:, None].expand(side, side), ramp.expand(side, side)])
    batch = torch.cat([places, places[:1]])[None].repeat(m, 1, 1, 1)
    cuts, full = torch.full((m,), cut), torch.ones(m)
    found = displaced(batch, normal(m, 2, 10, 10), cuts, full, 0.05)[:, :2]
    away = (found - batch[:, :2])[:, :, 4:-4, 4:-4]
    spread = away.pow(2).mean((1, 2, 3)).sqrt()
    assert (spread < 0.075).all()
    assert (spread > 0.005).all()
    # Where a field folds, a place is left of the one before it.
    back = (found[:, 0].diff(dim=1) < 0).float().mean()
    assert back < 0.03
    still = displaced(batch, normal(m, 2, 10, 10), cuts, torch.zeros(m), 0.05)
    torch.testing.assert_close(still, batch, atol=1e-5, rtol=0)


def test_versions_stay_in_range_and_depend_on_the_name_alone(no_global_rng: None) -> None:
    batch, names = images(), ("a", "b", "c", "d")
    first, second = prime_versions(batch, names, Rng(1), STRENGTHS)
    assert first.shape == batch.shape
    assert not torch.equal(first, second)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    turned, _ = prime_versions(batch.flip(0), names[::-1], Rng(1), STRENGTHS)
    torch.testing.assert_close(turned.flip(0), first, atol=1e-5, rtol=0)
    other, _ = prime_versions(batch, names, Rng(2), STRENGTHS)
    assert not torch.allclose(other, first, atol=1e-3)


def test_every_family_is_drawn() -> None:
    """With one family made harmless after the other, the versions of some images stay what they were."""
    batch, names = images(6), tuple("abcdef")
    whole = prime_versions(batch, names, Rng(1), STRENGTHS, copies=1, depth=1)[0]
    for harmless in (Strengths(1e-9, 0.05, 0.05), Strengths(4.0, 1e-9, 0.05), Strengths(4.0, 0.05, 1e-18)):
        changed = prime_versions(batch, names, Rng(1), harmless, copies=1, depth=1)[0]
        assert not torch.allclose(changed, whole, atol=1e-3)


@pytest.mark.parametrize("jsd", [0, 12])
@pytest.mark.slow
def test_a_toy_learns_from_it(jsd: float) -> None:
    """Colours of flat images are told apart after some steps: what is taught survives the versions."""
    from clearsight.data.contract.method import MODEL, TrainBatch
    from clearsight.data.initial import fresh

    def layers() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))

    model, method = fresh(layers), METHODS.parse({"kind": "prime", "jsd": jsd})
    labels = torch.arange(24) % 3
    flat = 0.3 + 0.4 * torch.nn.functional.one_hot(labels, 3).float()[:, :, None, None].expand(-1, -1, 8, 8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.2)
    names = tuple(str(i) for i in range(24))
    losses = []
    for step in range(25):
        batch = TrainBatch(flat.contiguous(), labels, names)
        for _, loss in method.step({MODEL: model}, batch, Rng(0).at(step)):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    with torch.no_grad():
        assert (model(flat).argmax(1) == labels).float().mean() > 0.9
