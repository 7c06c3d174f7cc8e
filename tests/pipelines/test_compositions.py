"""Ensembles: each member sees the survivors only, and a killed run goes on with the member it was at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.disk import KeptFile
from clearsight.defend.attacks.apgd import APGD
from clearsight.defend.attacks.autoattack import AutoAttack
from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.attacks.fab import FAB
from clearsight.defend.attacks.square import Square
from clearsight.defend.attacks.swift import Swift
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.defend.search.compose import compose
from clearsight.defend.search.ranking import nearest_classes
from clearsight.defend.target import AttackBatch, Target
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget

N = 4


@pytest.fixture(scope="module")
def system() -> System:
    built: System = chain(SmallConvNet(classes=4, width=4)).build()
    return built


def batch(system: System) -> AttackBatch:
    images = torch.rand(N, 3, 8, 8, generator=Rng(3).torch())
    labels = system(images).argmax(1)
    return AttackBatch(images, labels, tuple(f"p{i}" for i in range(N)), torch.arange(N))


def target_of(system: System, memory: Path | None = None) -> SystemTarget:
    kept = None if memory is None else KeptFile(memory)
    return SystemTarget(system, [f"p{i}" for i in range(N)], Rng(0), memory=kept)


def radius(system: System, share: float) -> float:
    """Return a radius at which some images fall and some stand."""
    some = batch(system)
    _, distance = nearest_classes(target_of(system), some, "linf", 4)
    return float(distance[:, 0].sort().values[int(share * N)])


class Killed(BaseException):
    """Nobody catches it, as nobody catches a kill."""


class Mortal(SystemTarget):
    """Dies after the member called ``last``."""

    last = ""

    def remember(self, step: str, **tensors: Tensor) -> None:
        super().remember(step, **tensors)
        if step == self.last:
            raise Killed


class Small(BallAttack):
    """AutoAttack's plan with a few steps of each member."""

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        ball: dict[str, Any] = {"norm": self.norm, "eps": self.eps}
        members: dict[str, BallAttack] = {
            "apgd-ce": APGD(**ball, steps=4),
            "apgd-t": APGD(**ball, loss="dlr_targeted", steps=4, targets=2),
            "fab-t": FAB(**ball, steps=3, targets=2),
            "square": Square(**ball, queries=15),
        }
        return compose(target, batch, [(name, member.run) for name, member in members.items()], rng)


COMPOSITIONS: dict[str, Any] = {
    "small": lambda eps: Small(eps=eps),
    "swift": lambda eps: Swift(eps=eps, queries=10, sieve=4, steps=5),
}
WHOLE: dict[str, Any] = {
    "autoattack": lambda eps: AutoAttack(eps=eps, queries=40),
    "rand": lambda eps: AutoAttack(eps=eps, version="rand"),
    "exact": lambda eps: Swift(eps=eps, queries=20, steps=20, exact=True),
}


MARKS = {"exact": [pytest.mark.slow, pytest.mark.long]}


@pytest.mark.parametrize(
    "name", [*COMPOSITIONS, *(pytest.param(name, marks=MARKS.get(name, pytest.mark.slow)) for name in WHOLE)]
)
def test_members_see_survivors_only_and_their_costs_add_up(system: System, name: str) -> None:
    attack: BallAttack = (COMPOSITIONS | WHOLE)[name](radius(system, 0.5))
    target = target_of(system)
    some = batch(system)
    found = attack(target, some, Rng(0))
    left = N
    for member in target.members:
        # Stages of swift may try fewer than are left, never more.
        assert 0 < member["tried"] <= left
        left -= member["broken"]
    assert left == int((system(found).argmax(1) == some.labels).sum())
    assert 0 < left < N
    # The look at the images before the attack, and swift's ranking, are nobody's.
    spent = sum(member["queries"] for member in target.members)
    assert spent + N <= target.totals[0] <= spent + 3 * N
    assert (found - some.images).abs().max() <= attack.eps + 1e-6


@pytest.mark.parametrize("last", ["apgd-ce", "apgd-t", "fab-t"])
@pytest.mark.slow
def test_a_composition_goes_on_after_a_kill(system: System, tmp_path: Path, last: str) -> None:
    _goes_on(system, tmp_path, Small(eps=radius(system, 0.2)), last)


@pytest.mark.parametrize("last", ["sieve", "class 1", "class 2"])
@pytest.mark.slow
def test_swift_goes_on_after_a_kill(system: System, tmp_path: Path, last: str) -> None:
    _goes_on(system, tmp_path, Swift(eps=radius(system, 0.2), queries=10, sieve=4, steps=5), last)


def _goes_on(system: System, tmp_path: Path, attack: BallAttack, last: str) -> None:
    some = batch(system)
    whole = target_of(system, tmp_path / "whole")
    expected = attack(whole, some, Rng(0))
    dying = Mortal(system, whole.ids, Rng(0), memory=KeptFile(tmp_path / "memory"))
    dying.last = last
    with pytest.raises(Killed):
        attack(dying, some, Rng(0))
    again = target_of(system, tmp_path / "memory")
    torch.testing.assert_close(attack(again, some, Rng(0)), expected, rtol=0, atol=0)
    assert again.queries.tolist() == whole.queries.tolist()
    assert again.backwards.tolist() == whole.backwards.tolist()
    assert again.members == whole.members


@pytest.mark.slow
@pytest.mark.long
def test_swift_costs_a_fraction_and_exact_no_less_than_the_reference(system: System) -> None:
    eps, some = radius(system, 0.0), batch(system)
    cost = {}
    for name, attack in {
        "swift": Swift(eps=eps),
        "exact": Swift(eps=eps, exact=True, queries=0),
        "reference": AutoAttack(eps=eps, queries=500),
    }.items():
        target = target_of(system)
        if name == "exact":
            attack = attack.model_copy(update={"steps": 10})
        found = attack(target, some, Rng(0))
        cost[name] = (sum(target.totals), int((system(found).argmax(1) == some.labels).sum()))
    assert cost["swift"][0] < 0.5 * cost["reference"][0]
    assert cost["exact"][1] <= cost["reference"][1]
    assert cost["swift"][1] == cost["reference"][1]


def test_a_linear_network_is_ranked_exactly() -> None:
    from torch import nn

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 12, generator=Rng(5).torch()))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.weight.T

    net = Linear()
    images = torch.rand(4, 3, 2, 2, generator=Rng(6).torch())

    class Plain(SystemTarget):
        def _forward(self, x: Tensor, rows: Tensor) -> Tensor:
            self.queries[rows] += 1
            return net(x)

    target = Plain(chain(SmallConvNet(classes=5)).build(), list("abcd"), Rng(0))
    labels = net(images).argmax(1)
    some = AttackBatch(images, labels, tuple("abcd"), torch.arange(4))
    ranked, distance = nearest_classes(target, some, "linf", 9)
    assert ranked.shape == distance.shape == (4, 4)
    logits, weight = net(images).detach(), net.weight.detach()
    for i in range(4):
        true = {
            c: float((logits[i, labels[i]] - logits[i, c]) / (weight[c] - weight[labels[i]]).abs().sum())
            for c in range(5)
            if c != labels[i]
        }
        assert ranked[i].tolist() == sorted(true, key=true.__getitem__)
        torch.testing.assert_close(distance[i], torch.tensor(sorted(true.values())))
    assert target.backwards.tolist() == [4] * 4


def test_the_reference_versions_have_their_members() -> None:
    standard, plus, rand = (AutoAttack(version=v).members(10) for v in ("standard", "plus", "rand"))
    assert list(standard) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert list(plus) == ["apgd-ce", "apgd-dlr", "square", "apgd-t", "fab-t"]
    assert list(rand) == ["apgd-ce", "apgd-dlr"]
    assert AutoAttack(version="rand").averaged == 20
    assert AutoAttack(norm="l1", eps=12).members(10)["apgd-ce"].restarts == 5  # type: ignore[attr-defined]
    assert AutoAttack().members(5)["apgd-t"].targets == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("attack", [AutoAttack(), Swift()], ids=["autoattack", "swift"])
def test_too_few_classes_are_refused(attack: BallAttack) -> None:
    small = chain(SmallConvNet(classes=3)).build()
    images = torch.rand(2, 3, 8, 8, generator=Rng(3).torch())
    target = SystemTarget(small, ["a", "b"], Rng(0))
    with pytest.raises(AttackError, match="at least 4 classes, the system has 3"):
        attack(target, AttackBatch(images, torch.tensor([0, 1]), ("a", "b"), torch.arange(2)), Rng(0))
