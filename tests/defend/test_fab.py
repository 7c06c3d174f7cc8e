"""FAB: exact distances where they are known, ball, budget, streams; as strong as the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack_toys import ToyTarget, attack_batch_of, flattened, linear, random_images
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.initial import fresh
from clearsight.data.sources.signs import Signs
from clearsight.defend.attacks.fab import FAB
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.defend.search.balls import Norm, size
from clearsight.defend.search.fab import POLISH, Pace, nearest
from clearsight.defend.search.halfspace import step_onto
from clearsight.defend.target import AttackBatch

NORMS = ("linf", "l2", "l1")
DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}
SHAPE = (3, 6, 6)


def centred(spread: float, n: int = 10) -> tuple[nn.Linear, nn.Module, AttackBatch]:
    """Return a linear classifier without preference at grey, and images about grey."""
    layer = linear(6, SHAPE)
    layer.bias.data = -0.5 * layer.weight.data.sum(1)
    model = flattened(layer)
    return layer, model, attack_batch_of(model, random_images(n, SHAPE, low=0.5 - spread, high=0.5 + spread))


def curved(n: int) -> tuple[nn.Module, AttackBatch]:
    """Return a small network that is not linear, with images."""
    net = fresh(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.Softplus(),
            nn.Conv2d(8, 8, 3),
            nn.Softplus(),
            nn.Flatten(),
            nn.Linear(32, 6),
        ),
        Rng(2).at("net"),
    )
    return net, attack_batch_of(net, random_images(n, SHAPE))


def gaps(layer: nn.Linear, batch: AttackBatch, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return logit differences (n, classes - 1) to the other classes, and their slopes."""
    with torch.no_grad():
        logits = model(batch.images)
    others = torch.tensor([[c for c in range(6) if c != y] for y in batch.labels.tolist()])
    values = logits.gather(1, others) - logits.gather(1, batch.labels[:, None])
    return values, layer.weight.data[others] - layer.weight.data[batch.labels][:, None]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_exact_distance_to_a_linear_boundary(norm: Norm, no_global_rng: None) -> None:
    layer, model, batch = centred(0.02)
    values, slopes = gaps(layer, batch, model)
    exact = (values.abs() / torch.linalg.vector_norm(slopes, ord=DUAL[norm], dim=2)).amin(1)
    target = ToyTarget(model, 6, 10)
    found, distance = nearest(target, batch, Rng(0), norm=norm, pace=Pace(steps=20))
    torch.testing.assert_close(distance, exact, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(size(found - batch.images, norm), distance)
    assert (model(found).argmax(1) != batch.labels).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_near_the_optimum_where_the_cube_cuts(norm: Norm) -> None:
    layer, model, batch = centred(0.5, 6)
    values, slopes = gaps(layer, batch, model)
    steps = [step_onto(batch.images.flatten(1), slopes[:, k], values[:, k], norm) for k in range(5)]
    exact = torch.stack([size(step, norm) for step in steps]).amin(0)
    found, distance = nearest(ToyTarget(model, 6, 6), batch, Rng(0), norm=norm, pace=Pace(steps=40))
    assert (distance >= exact * (1 - 1e-4)).all()
    assert (distance <= exact * 1.15).all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_success_is_within_eps(norm: Norm) -> None:
    model, batch = curved(6)
    _, distance = nearest(ToyTarget(model, 6, 6), batch, Rng(0), norm=norm, pace=Pace(steps=15))
    eps = distance.quantile(0.5).item()
    target = ToyTarget(model, 6, 6)
    out = FAB(norm=norm, eps=eps, steps=15)(target, batch, Rng(0))
    assert out.min() >= 0
    assert out.max() <= 1
    reached = size(out - batch.images, norm)
    assert (reached <= eps * (1 + 1e-5) + 1e-7).all()
    broken = model(out).argmax(1) != batch.labels
    # Whatever the unlimited search brought within eps, the limited one finds.
    assert (broken | (distance > eps)).all()
    # The others come back on the sphere, as near to the boundary as is known.
    torch.testing.assert_close(reached[~broken], torch.full_like(reached[~broken], eps), rtol=1e-4, atol=0)
    assert target.queries[broken].float().mean() < target.queries[~broken].float().mean()


def test_finished_images_cost_nothing() -> None:
    _, model, batch = centred(0.02)
    target = ToyTarget(model, 6, 10)
    FAB(norm="linf", eps=0.2)(target, batch, Rng(0))
    # The check that it is right, the ranking of classes, the first gradient; the second one's logits tell.
    assert target.queries.tolist() == [4] * 10
    assert target.backwards.tolist() == [2] * 10


def test_budget_of_survivors() -> None:
    layer = linear(6, SHAPE)
    layer.bias.data[2] = 1000.0
    model = flattened(layer)
    batch = attack_batch_of(model, random_images(3, SHAPE))
    target = ToyTarget(model, 6, 3)
    found, distance = nearest(target, batch, Rng(0), norm="linf", eps=0.01, targets=3, pace=Pace(steps=12))
    # Nothing is ever crossed: every gradient brings the logits of its point along; the last point needs its own.
    assert target.queries.tolist() == [1 + 3 * (12 + 1)] * 3
    assert target.backwards.tolist() == [3 * 12] * 3
    assert distance.isinf().all()
    assert torch.equal(found, batch.images)


@pytest.mark.slow
def test_budget_never_exceeds_two_queries_a_step() -> None:
    model, batch = curved(4)
    target = ToyTarget(model, 6, 4)
    nearest(target, batch, Rng(0), norm="l2", targets=9, restarts=2, pace=Pace(steps=9))
    assert target.queries.max() <= 1 + 5 * 2 * 2 * 9 + POLISH
    assert target.queries.min() >= 1 + 5 * 2 * 9


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_alone_or_together(norm: Norm) -> None:
    model, batch = curved(4)
    setting: dict[str, Any] = {"norm": norm, "targets": 2, "restarts": 2, "pace": Pace(steps=12)}
    out, distance = nearest(ToyTarget(model, 6, 4), batch, Rng(1), **setting)
    for i in range(4):
        one = batch.of(torch.tensor([i]))
        alone, reached = nearest(ToyTarget(model, 6, 4), one, Rng(1), **setting)
        torch.testing.assert_close(alone[0], out[i], rtol=0, atol=1e-5)
        torch.testing.assert_close(reached[0], distance[i], rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_restarts_only_help(norm: Norm) -> None:
    model, batch = curved(5)
    once, thrice = (
        nearest(ToyTarget(model, 6, 5), batch, Rng(0), norm=norm, targets=1, restarts=k, pace=Pace(steps=8))[
            1
        ]
        for k in (1, 3)
    )
    # The final search may end a hair apart.
    assert (thrice <= once * 1.001).all()


def test_two_classes_are_enough() -> None:
    layer = linear(2, SHAPE)
    layer.bias.data = -0.5 * layer.weight.data.sum(1)
    model = flattened(layer)
    batch = attack_batch_of(model, random_images(3, SHAPE, low=0.4, high=0.6))
    out = FAB(eps=0.3)(ToyTarget(model, 2, 3), batch, Rng(0))
    assert (model(out).argmax(1) != batch.labels).all()
    with pytest.raises(AttackError, match="at least 2 classes"):
        FAB()(ToyTarget(model, 1, 3), batch, Rng(0))


def test_needs_gradients() -> None:
    _, model, batch = centred(0.1)
    with pytest.raises(AttackError, match="no gradients"):
        FAB()(ToyTarget(model, 6, 10, gradients=False), batch, Rng(0))


def test_dead_gradient_moves_nothing() -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x.detach()) + 0.0 * x.sum()

    _, model, batch = centred(0.1)
    out = FAB(eps=0.1, steps=3)(ToyTarget(Steps(), 6, 10), batch, Rng(0))
    assert torch.equal(out, batch.images)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 3.6 / 255), ("l2", 0.75)])
def test_parity_with_the_reference(norm: Norm, eps: float) -> None:
    reference = pytest.importorskip("pyautoattack")
    source = Signs(count=64)
    samples = [sample for sample in source.read(source.index().entries) if isinstance(sample, Sample)]
    images = torch.stack([torch.from_numpy(s.image).permute(2, 0, 1).float() / 255 for s in samples])
    labels = torch.tensor([s.truth for s in samples])
    model = SmallConvNet(weights="signs-standard-v1").build()
    batch = AttackBatch(images, labels, tuple(s.id for s in samples), torch.arange(64))
    target = ToyTarget(model, model.classes, 64)
    attack = FAB(norm=norm, eps=eps, targets=2, steps=10)
    ours = (model(attack(target, batch, Rng(0))).argmax(1) == labels).sum()
    known = reference.AutoAttack(model, norm=norm.capitalize(), eps=eps, version="custom", seed=0)
    known.attacks_to_run, known.verbose = ["fab-t"], False
    known.fab.n_target_classes, known.fab.n_iter = 2, 10
    found, _ = known.run_standard_evaluation(images, labels, batch_size=64)
    theirs = (model(found).argmax(1) == labels).sum()
    assert 0.2 * 64 <= theirs <= 0.6 * 64
    assert abs(ours - theirs) <= 1
