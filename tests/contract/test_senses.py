"""What every sense in the registry claims of itself; a new file is tested by being there."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.restore.catalogue import SENSES
from clearsight.restore.sense import KINDS, Sense, read
from clearsight.restore.sense_base import OUTPUTS

every = pytest.mark.parametrize("kind", tuple(SENSES.kinds))


@cache
def built(kind: str) -> Sense:
    return SENSES[kind]().build()


def images(number: int, height: int, width: int) -> Tensor:
    return torch.rand((number, 3, height, width), generator=Rng(4).at("sense").torch())


@every
@pytest.mark.parametrize("size", [(5, 9), (16, 16), (33, 47), (64, 30)])
def test_outputs_are_in_their_units_at_every_size(kind: str, size: tuple[int, int]) -> None:
    out = built(kind)(images(2, *size)).detach()
    assert out.shape == (2, OUTPUTS)
    found = read(out)
    assert found.presence.shape == found.severity.shape == (2, KINDS)
    assert found.noise_level.shape == (2,)
    assert 0.0 <= float(found.presence.min()) <= float(found.presence.max()) <= 1.0
    assert 0.0 <= float(found.severity.min()) <= float(found.severity.max()) <= 5.0
    assert float(found.noise_level.min()) >= 0.0


@every
def test_even_images_and_grey_ones_are_taken(kind: str) -> None:
    sense = built(kind)
    for shade in (0.0, 0.5, 1.0):
        assert sense(torch.full((1, 3, 20, 24), shade)).isfinite().all()
    grey = images(2, 24, 24)[:, :1]
    assert torch.allclose(sense(grey), sense(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ShapeError, match=kind):
        sense(images(1, 20, 20)[:, :2])


@every
def test_an_image_is_judged_by_itself(kind: str) -> None:
    sense, some = built(kind), images(3, 32, 40)
    alone = torch.cat([sense(each[None]) for each in some])
    assert torch.allclose(sense(some), alone, atol=1e-5)


@every
def test_the_gradient_is_its_own_and_reaches_every_colour(kind: str) -> None:
    entry = SENSES[kind]
    assert entry.gradient is Gradient.EXACT
    x = images(2, 32, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(built(kind)(x).sum(), x)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax(dim=(0, 2, 3)) > 0).all()


@every
def test_facts_are_told(kind: str) -> None:
    entry = SENSES[kind]
    assert entry.takes == (Flow.IMAGES,)
    assert entry.gives is Flow.DAMAGE
    assert entry.trainable
    assert entry.purpose


@every
def test_it_is_small(kind: str) -> None:
    assert sum(each.numel() for each in built(kind).parameters()) < 150_000
