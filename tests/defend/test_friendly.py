"""Early-stopped attacks: FAT, FAT for TRADES, GAIR-FAT (Zhang et al. 2020, 2021)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import training_toys as toys
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.method import Tally, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.defend.search.training_attack import TrainingAttack
from clearsight.defend.training.adversarial import Adversarial
from clearsight.defend.training.base import BallMethod
from clearsight.defend.training.fat import FAT
from clearsight.defend.training.fat_trades import FATTRADES
from clearsight.defend.training.gair_fat import GAIRFAT

EPS, SIZE = 0.2, 0.04


class OnePixel(nn.Module):
    """Class 0 where the pixel is above 0.5, else class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        level = self.slope * (x.flatten(1) - 0.5)
        return torch.cat([level, -level], dim=1)


def pixels(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("tau", "kappa", "ends", "looks"),
    [
        # The attack lowers the pixel by 0.1 a step: 0.75, 0.65 and 0.55 are right, 0.45 is wrong.
        (0, [3, 0, 1, 5], [0.45, 0.45, 0.45, 0.48], 4 + 1 + 2 + 5),
        (1, [3, 0, 1, 5], [0.35, 0.35, 0.35, 0.48], 5 + 2 + 3 + 5),
        (None, [3, 0, 1, 5], [0.25, 0.0, 0.05, 0.48], 4 * 5),
    ],
    ids=["tau-0", "tau-1", "all-steps"],
)
def test_kappa_and_stops_of_a_hand_made_case(
    tau: int | None, kappa: list[int], ends: list[float], looks: int
) -> None:
    images, labels, tally = pixels(0.75, 0.45, 0.55, 0.98), torch.zeros(4, dtype=torch.int64), Tally()
    attack = TrainingAttack("linf", 1.0, steps=5, size=0.1, start=0.0, tau=tau)
    found = attack.search(OnePixel(), images, labels, Rng(0), tally)
    assert found.kappa.tolist() == kappa
    assert found.images.flatten().tolist() == pytest.approx(ends, abs=1e-6)
    assert tally.passes == looks


@pytest.mark.parametrize(
    ("method", "epochs", "wanted"),
    [
        (FAT(), 120, {1: 0, 50: 0, 51: 1, 90: 1, 91: 2, 120: 2}),
        (FATTRADES(), 85, {1: 0, 30: 0, 31: 1, 50: 1, 51: 2, 70: 2, 71: 3, 85: 3}),
        (GAIRFAT(), 120, {1: 0, 40: 0, 41: 3, 70: 3, 71: 6, 120: 6}),
    ],
    ids=["fat", "fat_trades", "gair_fat"],
)
def test_tau_schedules_of_the_authors(method: Any, epochs: int, wanted: dict[int, int]) -> None:
    # Epochs count from 1, as in their scripts; asked for in the middle of each.
    assert {epoch: method.tau_at((epoch - 0.5) / epochs) for epoch in wanted} == wanted
    assert [method.training_attack((epoch - 0.5) / epochs).tau for epoch in wanted] == list(wanted.values())
    assert method.tau_at(1.0) == max(wanted.values())
    assert method.tau_at(0.0) == 0


@pytest.mark.parametrize(
    "fields",
    [{"tau": (0, 1)}, {"tau": (0,)}, {"tau_until": (0.8, 0.2)}, {"tau": ()}, {"tau": (-1, 0, 1)}],
    ids=["one-end-too-many", "two", "falling", "empty", "negative"],
)
def test_bad_schedules(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FAT.model_validate(fields)


def test_one_tau_for_the_whole_budget() -> None:
    method = FAT(tau=(3,), tau_until=())
    assert [method.tau_at(share) for share in (0.0, 0.5, 1.0)] == [3, 3, 3]


def friendly(tau: int, **fields: Any) -> FAT:
    return FAT(eps=EPS, step_size=SIZE, tau=(tau,), tau_until=(), **fields)


def attack_of(method: BallMethod) -> tuple[toys.Tiny, TrainBatch]:
    model, one = toys.tiny(), toys.batch(16)
    toys.losses(method, model, one, Rng(5))
    return model, one


@pytest.mark.parametrize("tau", [0, 1, 3])
def test_stopped_images_are_not_computed_any_more(tau: int) -> None:
    model, one = attack_of(friendly(tau, faithful="paper"))
    start = toys.start_of(friendly(tau).training_attack(), one, Rng(5))
    expected = toys.walk(toys.tiny(), one, start, eps=EPS, size=SIZE, tau=tau)
    attacked = [len(images) for mode, images in model.forwards if not mode]
    # How many images are still there at each look, from the reference that goes image by image.
    assert attacked == [sum(looks > k for looks in expected.looks) for k in range(max(expected.looks))]
    assert attacked == sorted(attacked, reverse=True)
    assert one.tally.passes == sum(attacked) == sum(expected.looks)
    assert torch.allclose(model.seen[-1], expected.images, atol=1e-9)


def test_fat_saves_passes_and_more_of_them_the_smaller_tau() -> None:
    plain = Adversarial(eps=EPS, step_size=SIZE)
    passes = [attack_of(method)[1].tally.passes for method in (*map(friendly, (0, 1, 3, 10)), plain)]
    assert passes[0] < passes[1] < passes[2] < passes[3] == passes[4] == 16 * 10


def test_without_a_stop_and_without_jitter_fat_is_pgd() -> None:
    found = [
        attack_of(m)[0].seen[-1]
        for m in (friendly(10, faithful="paper"), Adversarial(eps=EPS, step_size=SIZE))
    ]
    assert torch.equal(found[0], found[1])


def test_jitter_of_the_authors_code() -> None:
    """``iter_adv + eta + omega * randn``, then projected: omega 0.001 in FAT, 0 in the other two."""
    assert FAT().training_attack().jitter == 0.001
    assert (
        FAT(faithful="paper").training_attack().jitter
        == FATTRADES().training_attack().jitter
        == GAIRFAT().training_attack().jitter
        == 0
    )
    model, one = attack_of(friendly(10))
    generator = Rng(5).at("jitter").torch()
    noises = [0.001 * torch.randn(one.images.shape, generator=generator) for _ in range(10)]
    start = toys.start_of(friendly(10).training_attack(), one, Rng(5))
    expected = toys.walk(toys.tiny(), one, start, eps=EPS, size=SIZE, noises=noises)
    assert torch.allclose(model.seen[-1], expected.images, atol=1e-9)
    assert float((model.seen[-1] - one.images).abs().max()) <= EPS + 1e-9


def test_jitter_does_not_hang_on_which_images_stopped() -> None:
    pair, one = toys.batch(2), toys.batch(2)
    # The second image's label is the class it is far from: it stops at once in one batch, not in the other.
    with torch.no_grad():
        right, wrong = (toys.tiny().eval()(one.images)[1].argsort(descending=True)[i] for i in (0, -1))
    found = []
    for label in (right, wrong):
        labels = toys.labels_of(pair).clone()
        labels[1] = label
        found.append(friendly(0).training_attack().applied(toys.tiny(), pair.images, labels, Rng(7))[0])
    assert torch.equal(found[0], found[1])


def test_start_is_uniform_or_normal_as_in_the_authors_code() -> None:
    fat, trades, gair = FAT().training_attack(), FATTRADES().training_attack(), GAIRFAT().training_attack()
    assert (fat.spread, fat.start) == (gair.spread, gair.start) == ("uniform", 8 / 255)
    assert (trades.spread, trades.start) == ("normal", 0.001)
    assert (fat.divergence, trades.divergence, gair.divergence) == (False, True, False)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.9], ids=["tau-0", "tau-1", "tau-2"])
def test_trace_of_three_steps(share: float) -> None:
    """FAT with the authors' jitter against a loop of plain torch: stop, then cross-entropy, then SGD."""
    method = FAT(eps=EPS, step_size=SIZE)
    ours, theirs = toys.tiny(), toys.tiny()
    for step in range(3):
        one, rng = toys.batch(8, share, seed=step), Rng(11).at(step)
        toys.optimised(method, ours, one, rng)
        generator = rng.at("jitter").torch()
        noises = [0.001 * torch.randn(one.images.shape, generator=generator) for _ in range(10)]
        tau = {0.1: 0, 0.6: 1, 0.9: 2}[share]
        start = toys.start_of(method.training_attack(share), one, rng)
        x = toys.walk(theirs, one, start, eps=EPS, size=SIZE, tau=tau, noises=noises).images
        loss = cross_entropy(theirs(x), toys.labels_of(one))
        slopes = torch.autograd.grad(loss, list(theirs.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(theirs.parameters(), slopes, strict=True):
                parameter.sub_(toys.RATE * slope)
    toys.assert_same_weights(ours, theirs)
    assert not torch.allclose(ours.conv.weight, toys.tiny().conv.weight, atol=1e-4)


def test_friendly_trades_is_trades_with_a_stop() -> None:
    one, rng = toys.batch(16, share=0.1), Rng(5)
    method = FATTRADES(eps=EPS, step_size=SIZE, beta=4.0)
    model = toys.tiny()
    (loss,) = toys.losses(method, model, one, rng)
    start = toys.start_of(method.training_attack(0.1), one, rng)
    expected = toys.walk(toys.tiny(), one, start, eps=EPS, size=SIZE, tau=0, divergence=True)
    assert torch.allclose(model.seen[-1], expected.images, atol=1e-9)
    assert one.tally.passes == sum(expected.looks) < 160
    other = toys.tiny()
    natural, moved = other(one.images), other(expected.images)
    p, q = natural.softmax(1), moved.softmax(1)
    wanted = cross_entropy(natural, toys.labels_of(one)) + 4.0 * (p * (p / q).log()).sum(1).mean()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-9)
