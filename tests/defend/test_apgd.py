from __future__ import annotations

from typing import Any

import pytest
import torch
from attack_toys import Precise, ToyTarget, attack_batch_of, flattened, linear, random_images
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.defend.attacks.apgd import APGD
from clearsight.defend.search.apgd import Climbed, Settings, ascend, raised_by, ranked_targets
from clearsight.defend.search.balls import Norm, size
from clearsight.defend.search.streams import Streams
from clearsight.defend.target import AttackBatch

SHAPE = (3, 6, 6)
BALLS: dict[str, tuple[Norm, float]] = {"linf": ("linf", 0.01), "l2": ("l2", 0.2), "l1": ("l1", 0.3)}
balls = pytest.mark.parametrize(("norm", "eps"), BALLS.values(), ids=BALLS.keys())


def small_network(classes: int = 6, seed: int = 0) -> nn.Module:
    """Return two layers of fixed random weights: a loss that is not linear."""
    first, last = linear(24, SHAPE, seed), linear(classes, (24,), seed + 1)
    return flattened(nn.Sequential(first, nn.Tanh(), last))


def confident(classes: int, images: Tensor) -> tuple[nn.Linear, AttackBatch, ToyTarget]:
    """Return a linear classifier that no small change fools: each image's class leads by a wide margin."""
    layer = linear(classes, SHAPE)
    layer.bias.data[0] = 1e3
    model = flattened(layer)
    return layer, attack_batch_of(model, images), ToyTarget(model, classes, len(images))


def search(target: ToyTarget, batch: AttackBatch, aims: Tensor, settings: Settings) -> Climbed:
    raised = raised_by("difference", batch.labels, aims)
    return ascend(target, batch, raised, settings, Streams(Rng(0), batch.ids), torch.arange(len(batch)))


@pytest.mark.parametrize(
    ("norm", "eps", "widened"),
    [("linf", 0.05, True), ("l2", 0.2, True), ("l1", 0.3, True), ("l1", 0.3, False)],
    ids=["linf", "l2", "l1", "l1-plain"],
)
def test_exact_optimum_of_a_linear_classifier(norm: Norm, eps: float, *, widened: bool) -> None:
    images = random_images(5, SHAPE, low=0.4, high=0.6)
    layer, batch, target = confident(4, images)
    aims = ranked_targets(target, batch, 3)
    assert aims.shape == (5, 3)
    for aim in aims.unbind(1):
        found = search(target, batch, aim, Settings(norm, eps, steps=40, widened=widened))
        assert not found.broken.any()
        slope = layer.weight[aim] - layer.weight[batch.labels]
        dual = {"linf": slope.abs().sum(1), "l2": slope.norm(dim=1), "l1": slope.abs().amax(1)}[norm]
        risen = (slope * (found.images - images).flatten(1)).sum(1)
        assert torch.allclose(risen, eps * dual, rtol=1e-3)


@balls
def test_exact_optimum_of_two_classes_by_the_margin(norm: Norm, eps: float) -> None:
    images = random_images(5, SHAPE, low=0.4, high=0.6)
    layer, batch, target = confident(2, images)
    found = APGD(loss="margin", norm=norm, eps=eps, steps=40)(target, batch, Rng(0))
    slope = layer.weight[1] - layer.weight[0]
    dual = {"linf": slope.abs().sum(), "l2": slope.norm(), "l1": slope.abs().max()}[norm]
    assert torch.allclose((found - images).flatten(1) @ slope, (eps * dual).expand(5), rtol=1e-3)


def test_exact_optimum_with_the_cube_active() -> None:
    images = random_images(5, SHAPE)
    for norm, eps in (("linf", 0.3), ("l1", 0.3)):
        layer, batch, target = confident(2, images)
        found = APGD(loss="margin", norm=norm, eps=eps, steps=40)(target, batch, Rng(0))
        slope = layer.weight[1] - layer.weight[0]
        room = torch.where(slope > 0, 1.0 - images.flatten(1), images.flatten(1))
        order = slope.abs().argsort(descending=True)
        if norm == "linf":
            best = room.clamp_max(eps) @ slope.abs()
        else:
            used = (room[:, order].cumsum(1) - room[:, order]).clamp_max(eps)
            best = room[:, order].minimum(eps - used) @ slope.abs()[order]
        assert torch.allclose((found - images).flatten(1) @ slope, best, rtol=1e-3), norm


def test_margins_are_the_best_that_were_seen() -> None:
    images = random_images(4, SHAPE, low=0.4, high=0.6)
    layer, batch, target = confident(3, images)
    found = search(target, batch, ranked_targets(target, batch, 1)[:, 0], Settings("linf", 0.02))
    logits = flattened(layer)(found.images)
    assert torch.allclose(found.margins, logits[:, 1:].amax(1) - logits[:, 0], atol=1e-2)
    assert (found.margins < 0).all()


@balls
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr", "dlr_targeted", "margin"])
def test_stays_in_ball_and_cube_and_breaks_what_it_says(norm: Norm, eps: float, loss: Any) -> None:
    model, images = small_network(), random_images(8, SHAPE)
    batch = attack_batch_of(model, images)
    target = ToyTarget(model, 6, 8)
    found = APGD(loss=loss, norm=norm, eps=4 * eps, steps=20, targets=2)(target, batch, Rng(0))
    assert size(found - images, norm).max() <= 4 * eps * (1 + 1e-5) + 1e-6
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert (model(found).argmax(1) != batch.labels).any()


@balls
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr_targeted"])
def test_budget_and_finished_images_are_free(norm: Norm, eps: float, loss: Any) -> None:
    model, images = small_network(), random_images(12, SHAPE)
    batch, target = attack_batch_of(model, images), ToyTarget(model, 6, 12)
    attack = APGD(loss=loss, norm=norm, eps=eps, steps=20, restarts=2, targets=3)
    found = attack(target, batch, Rng(0))
    survived = model(found).argmax(1) == batch.labels
    starts = 2 * (3 if loss == "dlr_targeted" else 1)
    # One query tells that the image is classified right, one ranks the classes.
    queries = 1 + (loss == "dlr_targeted") + starts * (25 if norm == "l1" else 21)
    assert survived.any()
    assert not survived.all()
    assert (target.queries[survived] == queries).all()
    assert (target.backwards[survived] == 20 * starts).all()
    assert (target.queries[~survived] < queries).all()
    assert (target.backwards[~survived] < 20 * starts).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_first_misclassified_point_ends_the_search(norm: Norm) -> None:
    model, images = small_network(), random_images(4, SHAPE)
    batch, target = attack_batch_of(model, images), ToyTarget(model, 6, 4)
    settings, streams = Settings(norm, {"linf": 0.4, "l2": 4.0, "l1": 40.0}[norm]), Streams(Rng(0), "abcd")
    raised = raised_by("cross_entropy", batch.labels)
    found = ascend(target, batch, raised, settings, streams, torch.arange(4))
    assert found.broken.all()
    assert (found.margins >= 0).all()
    assert target.queries.max() < 50
    # Started at a point that is misclassified already, one look is all that it takes.
    again, before = ToyTarget(model, 6, 4), found.images
    found = ascend(again, batch, raised, settings, streams, torch.arange(4), start=before)
    assert found.broken.all()
    assert torch.allclose(found.images, before, atol=1e-6)
    assert again.queries.tolist() == again.backwards.tolist() == [1, 1, 1, 1]


@balls
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr_targeted"])
def test_an_image_gets_the_same_in_every_batch(norm: Norm, eps: float, loss: Any) -> None:
    model, images = Precise(small_network()), random_images(3, SHAPE)
    batch, attack = attack_batch_of(model, images), APGD(loss=loss, norm=norm, eps=eps, steps=15, targets=2)
    together = attack(ToyTarget(model, 6, 3), batch, Rng(0))
    for i in range(3):
        alone = attack(ToyTarget(model, 6, 3), batch.of(torch.tensor([i])), Rng(0))
        assert torch.allclose(alone[0], together[i], atol=1e-5)
    other = attack(ToyTarget(model, 6, 3), batch, Rng(1))
    assert not torch.equal(other, together)


def test_restarts_keep_the_nearest_and_start_elsewhere() -> None:
    model, images = small_network(), random_images(8, SHAPE)
    batch = attack_batch_of(model, images)
    found = [
        APGD(loss="margin", eps=0.01, steps=3, restarts=n)(ToyTarget(model, 6, 8), batch, Rng(0))
        for n in (1, 4)
    ]
    margins = [raised_by("margin", batch.labels)(torch.arange(8))(model(each)) for each in found]
    assert (margins[1] >= margins[0] - 1e-6).all()
    assert (margins[1] > margins[0] + 1e-6).any()


def test_draws_from_no_global_generator(no_global_rng: None) -> None:
    model, images = small_network(), random_images(2, SHAPE)
    APGD(steps=2)(ToyTarget(model, 6, 2), attack_batch_of(model, images), Rng(0))


def test_stages_use_up_all_steps() -> None:
    assert Settings("l1", 12.0).stages == ((36.0, 30), (24.0, 30), (12.0, 40))
    assert Settings("l1", 12.0, steps=9).stages == ((12.0, 9),)
    assert Settings("linf", 0.1).stages == ((0.1, 100),)
    for steps in range(1, 60):
        assert sum(each for _, each in Settings("l1", 1.0, steps=steps).stages) == steps


@pytest.mark.parametrize(("loss", "classes"), [("dlr", 2), ("dlr_targeted", 3)])
def test_too_few_classes(loss: Any, classes: int) -> None:
    model, images = small_network(classes), random_images(2, SHAPE)
    target = ToyTarget(model, classes, 2)
    with pytest.raises(AttackError, match=f"apgd: needs at least {classes + 1} classes.*has {classes}"):
        APGD(loss=loss)(target, attack_batch_of(model, images), Rng(0))
    assert target.totals == (0, 0)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"rho": 1.0}, {"eps": 8}, {"loss": "cw"}], ids=str)
def test_bad_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        APGD.model_validate(fields)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr_targeted"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 4 / 255), ("l2", 1.0), ("l1", 12.0)], ids=BALLS)
def test_parity_with_the_reference(norm: Norm, eps: float, loss: Any) -> None:
    reference = pytest.importorskip("pyautoattack.autopgd_base")
    from clearsight.data.sources.signs import Signs
    from clearsight.defend.classifiers.small_convnet import SmallConvNet

    steps, samples = 30, Signs(count=34).read(Signs(count=34).scan().entries)
    images = torch.stack([torch.from_numpy(each.image).permute(2, 0, 1) / 255 for each in samples])  # type: ignore[union-attr]
    labels = torch.tensor([each.truth for each in samples])  # type: ignore[union-attr]
    model = SmallConvNet(weights="signs-standard-v1").build().requires_grad_(requires_grad=False)
    right = model(images).argmax(1) == labels
    images, labels = images[right], labels[right]
    count = len(images)

    told = {"n_iter": steps, "eps": eps, "norm": norm.capitalize(), "use_largereps": norm == "l1"}
    with torch.random.fork_rng():
        if loss == "cross_entropy":
            theirs = reference.APGDAttack(model, loss="ce", **told)
        else:
            theirs = reference.APGDAttack_targeted(model, n_target_classes=2, **told)
        other = theirs.perturb(images.clone(), labels.clone())
    batch = AttackBatch(images, labels, tuple(f"signs-{i}" for i in range(count)), torch.arange(count))
    target = ToyTarget(model, 17, count)
    ours = APGD(norm=norm, eps=eps, loss=loss, targets=2, steps=steps)(target, batch, Rng(0))
    robust = [int((model(each).argmax(1) == labels).sum()) for each in (ours, other)]
    assert 0.1 * count < robust[1] < 0.9 * count
    assert abs(robust[0] - robust[1]) <= 1
