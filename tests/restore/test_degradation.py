"""The damage that a sense learns from: what is drawn is what is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.restore.networks.degradation_sense import tones
from clearsight.restore.sense_base import DAMAGE
from clearsight.restore.senses.degradation import DegradationSense
from clearsight.restore.training.degradation import CLEAN, KINDS, ORDER, Degradation, loss


def photographs(number: int, side: int = 32) -> Tensor:
    """Return smooth images in 8 bits."""
    coarse = torch.rand((number, 3, 4, 4), generator=Rng(1).at("photographs").torch())
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return smooth.clamp(0.05, 0.95).mul(255.0).round() / 255.0


def names(number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number)))


def test_every_kind_of_damage_has_corruptions_and_a_place_in_the_order() -> None:
    assert set(KINDS) == set(ORDER) == set(DAMAGE)
    assert len({kind for kinds in KINDS.values() for kind in kinds}) == sum(map(len, KINDS.values()))


def test_an_image_depends_on_its_name_and_the_stream_alone() -> None:
    method, images = Degradation(clean=0.0), photographs(4)
    drawn = method.draw(images, names(4), Rng(2))
    again = method.draw(images.flip(0), names(4)[::-1], Rng(2))
    other = method.draw(images, names(4), Rng(3))
    for one, two in zip(vars(drawn).values(), vars(again).values(), strict=True):
        assert torch.equal(one, two.flip(0))
    assert not torch.equal(drawn.images, other.images)


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_kind_alone(damage: str) -> None:
    images = photographs(6)
    drawn = Degradation().draw(images, names(6), Rng(2), only=damage)
    expected = torch.zeros(6, len(DAMAGE))
    expected[:, DAMAGE.index(damage)] = 1.0
    assert torch.equal(drawn.presence, expected)
    severities = drawn.severity[:, DAMAGE.index(damage)]
    assert 1.0 <= float(severities.min()) <= float(severities.max()) <= 5.0
    assert (drawn.images != images).flatten(1).any(dim=1).all()
    assert bool(drawn.judged.all()) == (damage != "darkness")
    if damage == "noise":
        change = (drawn.images - images).flatten(1).std(dim=1, correction=0)
        assert torch.allclose(drawn.noise_level, change, atol=1e-3)
    else:
        assert not drawn.noise_level.any()


def test_shares_of_clean_and_of_two_kinds() -> None:
    images = photographs(1, 16).expand(300, -1, -1, -1)
    counts = Degradation().draw(images, names(300), Rng(2)).presence.sum(dim=1)
    assert 0.2 < float((counts == 0).float().mean()) < 0.4
    assert 0.12 < float((counts == 2).float().mean()) < 0.3
    assert torch.equal(Degradation(clean=1.0).draw(images, names(300), Rng(2)).images, images)
    whole = Degradation().draw(photographs(2), names(2), Rng(2), only=CLEAN)
    assert torch.equal(whole.images, photographs(2))
    assert not whole.presence.any()


def test_severities_are_told_where_the_constants_are_those_of_the_size() -> None:
    images = photographs(1, 16).expand(200, -1, -1, -1)
    kept = Degradation(clean=0.0, twice=0.0, other_tables=0.0).draw(images, names(200), Rng(2))
    assert torch.equal(kept.severity > 0, kept.presence > 0)
    mixed = Degradation(clean=0.0, twice=0.0, other_tables=1.0).draw(images, names(200), Rng(2))
    told = float((mixed.severity > 0).sum() / mixed.presence.sum())
    assert 0.2 < told < 0.6


def test_the_loss_leaves_out_what_is_neither_right_nor_wrong() -> None:
    model = DegradationSense(width=4, hidden=8).build()
    drawn = Degradation().draw(photographs(4), names(4), Rng(2), only="darkness")
    bias = model.get_parameter("network.tell.bias")
    with torch.no_grad():
        before = loss(model, drawn)
        # The bias of the presence of noise, which darkness brings of its own.
        bias[DAMAGE.index("noise")] += 3.0
        assert torch.equal(loss(model, drawn), before)
        bias[DAMAGE.index("blur")] += 3.0
        assert loss(model, drawn) > before


def test_a_step_gives_every_layer_a_gradient() -> None:
    model = DegradationSense(width=4, hidden=8).build()
    batch = TrainBatch(photographs(12), None, names(12))
    ((name, value),) = Degradation().step({MODEL: model}, batch, Rng(5))
    assert name == MODEL
    value.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in model.parameters())


def test_the_quietest_block_tells_noise_from_texture() -> None:
    even = torch.full((1, 3, 64, 64), 0.5)
    half = even.clone()
    half[..., :32] += 0.3 * torch.rand((1, 3, 64, 32), generator=Rng(1).torch())
    noisy = (even + 0.1 * torch.randn(even.shape, generator=Rng(2).torch())).clamp(0, 1)
    least = [float(tones(x)[0, -3].exp()) for x in (even, half, noisy)]
    assert least[0] == pytest.approx(least[1])
    assert least[2] > 10 * least[1]
