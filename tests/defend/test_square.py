"""The Square Attack: ball, budget, streams, patterns; as strong as the reference."""

from __future__ import annotations

import pytest
import torch
from attack_toys import ToyTarget, attack_batch_of, flattened, linear, random_images
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.signs import Signs
from clearsight.defend.attacks.square import Square
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.defend.search.balls import Norm, size
from clearsight.defend.search.square import oriented, random_squares, share_at
from clearsight.defend.target import AttackBatch

NORMS = ("linf", "l2", "l1")
SHAPE = (3, 8, 8)
RADII = {"linf": 0.06, "l2": 0.9, "l1": 5.0}


class Watched(ToyTarget):
    """Fails where an image that was misclassified is asked about again."""

    def __init__(self, model: nn.Module, batch: AttackBatch) -> None:
        super().__init__(model, 10, len(batch), gradients=False)
        self.labels, self.lost = batch.labels, torch.zeros(len(batch), dtype=torch.bool)

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        assert not self.lost[rows].any()
        found = super().logits(x, rows)
        self.lost[rows] = found.argmax(1) != self.labels[rows]
        return found


def toy(n: int = 12) -> tuple[nn.Module, AttackBatch]:
    model = flattened(linear(10, SHAPE))
    return model, attack_batch_of(model, random_images(n, SHAPE, low=0.1, high=0.9))


def stubborn() -> nn.Module:
    """A classifier that never changes its mind."""
    layer = linear(10, SHAPE)
    layer.weight.data[4] = 0.0
    layer.bias.data[4] = 100.0
    return flattened(layer)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_breaks_within_ball_and_box(norm: Norm, no_global_rng: None) -> None:
    model, batch = toy()
    target = Watched(model, batch)
    out, broken = random_squares(target, batch, Rng(0), norm=norm, eps=RADII[norm], queries=200)
    assert out.min() >= 0
    assert out.max() <= 1
    assert (size(out - batch.images, norm) <= RADII[norm] * (1 + 1e-5)).all()
    torch.testing.assert_close(model(out).argmax(1) != batch.labels, broken)
    assert broken.float().mean() >= 0.75
    assert (target.queries <= 201).all()
    assert (target.queries[~broken] == 201).all()
    assert (target.backwards == 0).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.slow
def test_every_query_is_counted(norm: Norm) -> None:
    model = stubborn()
    batch = attack_batch_of(model, random_images(3, SHAPE))
    target = ToyTarget(model, 10, 3, gradients=False)
    _, broken = random_squares(target, batch, Rng(0), norm=norm, eps=0.1, queries=130, restarts=2)
    assert not broken.any()
    assert target.queries.tolist() == [2 * 131] * 3


@pytest.mark.parametrize("norm", NORMS)
def test_loss_never_falls(norm: Norm) -> None:
    model = stubborn()
    batch = attack_batch_of(model, random_images(4, SHAPE))

    def margins(queries: int) -> Tensor:
        target = ToyTarget(model, 10, 4)
        # The schedule is not stretched: the longer search goes on where the shorter one ended.
        found, _ = random_squares(
            target, batch, Rng(0), norm=norm, eps=RADII[norm], queries=queries, rescaled=False
        )
        logits = model(found)
        logits[:, 4] = -torch.inf
        return logits.amax(1).detach()

    reached = [margins(queries) for queries in (1, 20, 80)]
    assert (reached[0] <= reached[1] + 1e-5).all()
    assert (reached[1] < reached[2] + 1e-5).all()
    assert (reached[0] < reached[2]).all()


@pytest.mark.parametrize("norm", NORMS)
def test_alone_or_together(norm: Norm) -> None:
    model, batch = toy(4)
    attack = Square(norm=norm, eps=RADII[norm], queries=60)
    together = ToyTarget(model, 10, 4)
    out = attack(together, batch, Rng(3))
    for i in range(4):
        target = ToyTarget(model, 10, 4)
        alone = attack(target, batch.of(torch.tensor([i])), Rng(3))
        torch.testing.assert_close(alone[0], out[i], rtol=0, atol=1e-5)
        assert target.queries[i] == together.queries[i]


def test_linf_uses_the_whole_radius() -> None:
    model = stubborn()
    batch = attack_batch_of(model, random_images(3, SHAPE, low=0.2, high=0.8))
    out, _ = random_squares(ToyTarget(model, 10, 3), batch, Rng(0), norm="linf", eps=0.05, queries=60)
    torch.testing.assert_close((out - batch.images).abs(), torch.full_like(out, 0.05))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 5, 9), (1, 13, 7), (3, 1, 1)], ids=str)
def test_odd_sizes(norm: Norm, shape: tuple[int, int, int]) -> None:
    model = flattened(linear(10, shape))
    batch = attack_batch_of(model, random_images(4, shape))
    out = Square(norm=norm, eps=0.3, queries=15)(ToyTarget(model, 10, 4), batch, Rng(0))
    assert out.isfinite().all()
    assert not torch.equal(out, batch.images)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 12])
def test_patterns(norm: Norm, side: int) -> None:
    upright, lying = oriented(side, torch.tensor([0.2, 0.8]), norm)[:, 0]
    torch.testing.assert_close(upright.T, lying)
    torch.testing.assert_close(size(upright[None], norm), torch.ones(1))
    if side > 1:
        assert (upright[: side // 2] > 0).all()
        assert (upright[side // 2 :] < 0).all()


def test_schedule_of_the_paper() -> None:
    seen = {
        query: share_at(0.8, query, 10_000) for query in (0, 10, 11, 51, 201, 501, 1001, 2001, 4001, 8001)
    }
    assert [0.8 / share for share in seen.values()] == [1, 1, 2, 4, 8, 16, 32, 64, 128, 512]
    assert share_at(0.8, 499, 500) == 0.8 / 512


def test_bad_input() -> None:
    with pytest.raises(ValidationError, match="does not show it"):
        Square(threat="labels")
    with pytest.raises(ValidationError, match="8/255"):
        Square(eps=8)
    model, batch = toy(1)
    with pytest.raises(AttackError, match="at least 2 classes"):
        Square()(ToyTarget(model, 1, 1), batch, Rng(0))


def test_no_images_are_left_to_break() -> None:
    model, batch = toy(3)
    wrong = AttackBatch(batch.images, (batch.labels + 1) % 10, batch.ids, batch.rows)
    target = ToyTarget(model, 10, 3)
    torch.testing.assert_close(Square(queries=5)(target, wrong, Rng(0)), batch.images, rtol=0, atol=0)
    assert target.queries.tolist() == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("norm", "eps"), [("linf", 12 / 255), ("l2", 5.0), pytest.param("l1", 60.0, marks=pytest.mark.long)]
)
def test_parity_with_the_reference(norm: Norm, eps: float) -> None:
    reference = pytest.importorskip("pyautoattack")
    source = Signs(count=32)
    samples = [sample for sample in source.read(source.index().entries) if isinstance(sample, Sample)]
    images = torch.stack([torch.from_numpy(s.image).permute(2, 0, 1).float() / 255 for s in samples])
    labels = torch.tensor([s.truth for s in samples])
    model = SmallConvNet(weights="signs-standard-v1").build()
    batch = AttackBatch(images, labels, tuple(s.id for s in samples), torch.arange(32))
    target = ToyTarget(model, model.classes, 32, gradients=False)
    attack = Square(norm=norm, eps=eps, queries=200, rescaled=False)
    ours = (model(attack(target, batch, Rng(0))).argmax(1) == labels).float().mean()
    known = reference.AutoAttack(model, norm=norm.capitalize(), eps=eps, version="custom", seed=0)
    known.attacks_to_run, known.verbose, known.square.n_queries = ["square"], False, 200
    found, _ = known.run_standard_evaluation(images, labels, batch_size=32)
    theirs = (model(found).argmax(1) == labels).float().mean()
    assert 0.1 < theirs < 0.9
    # Two random searches of 32 images: three of them may fall in one only.
    assert abs(ours - theirs) <= 0.1
