"""Losses of a restorer that learns through a frozen classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.corruption_mixture import CorruptionMixture
from clearsight.restore.learned.clarity import Clarity
from clearsight.restore.networks.features import Watched
from clearsight.restore.restorer import Restorer
from clearsight.restore.training.recognition import Recognition
from clearsight.restore.training.recognition_adversarial import RecognitionAdversarial

IDS = tuple(f"image{number}" for number in range(6))
ALL_BRIGHT = CorruptionMixture(share=1.0, kinds=("brightness",), severities=(5,))


class Looker(nn.Module):
    """Two convolutions and two logits."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        self.head = nn.Linear(5, 2)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=Rng(seed).at(name).torch()))
        self.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x).mean(dim=(2, 3)))
        return out


def images() -> Tensor:
    """In whole levels, as photographs are."""
    return torch.randint(30, 200, (6, 3, 16, 16), generator=Rng(3).torch()).float() / 255


def restorer() -> Restorer:
    return Clarity(width=4, deep=1, hidden=8).build()


@pytest.fixture
def loss_of() -> Callable[..., Tensor]:
    def loss(
        method: Recognition,
        *lookers: nn.Module,
        model: nn.Module | None = None,
        share: float = 0.0,
        labels: Tensor | None = None,
    ) -> Tensor:
        batch = TrainBatch(images(), labels, IDS, share, recognisers=lookers)
        ((name, value),) = method.step({MODEL: model or restorer()}, batch, Rng(1))
        assert name == MODEL
        return value

    return loss


def test_watched_counts_convolutions_in_the_order_they_run() -> None:
    looker = Looker()
    logits, (first, last) = Watched(looker, (0.0, 1.0))(images())
    assert torch.equal(logits, looker(images()))
    assert torch.equal(first, looker.body[0](images()))
    assert last.shape == (6, 5, 12, 12)
    assert not looker.body[0]._forward_hooks
    assert not Watched(looker, ()).convolutions


def test_undamaged_images_cost_an_identity_nothing(loss_of: Callable[..., Tensor]) -> None:
    clean = CorruptionMixture(share=1.0, kinds=("brightness",), severities=(5,)).model_copy(
        update={"share": 0.0}
    )
    assert loss_of(Recognition(corruptions=clean), Looker()).item() == pytest.approx(0.0, abs=1e-5)
    assert loss_of(Recognition(corruptions=ALL_BRIGHT), Looker()).item() > 0.05


def test_the_loss_is_the_sum_of_its_three_terms(loss_of: Callable[..., Tensor]) -> None:
    looker = Looker()
    weights = {"image_weight": 0.0, "feature_weight": 0.0, "corruptions": ALL_BRIGHT}
    answers = loss_of(Recognition.model_validate(weights), looker).detach()
    both = loss_of(Recognition.model_validate(weights | {"image_weight": 2.0}), looker).detach()
    damaged = ALL_BRIGHT.mixed(
        images().mul(255).round().byte().permute(0, 2, 3, 1), IDS, Rng(1).at("corrupt")
    ).permute(0, 3, 1, 2)
    damaged = damaged.float() / 255
    assert float(both - answers) == pytest.approx(2 * float((damaged - images()).abs().mean()), rel=1e-4)
    own, target = looker(damaged).log_softmax(1), looker(images()).log_softmax(1)
    assert float(answers) == pytest.approx(
        float((target.exp() * (target - own)).sum(1).mean()), rel=1e-3, abs=1e-7
    )
    told = weights | {"feature_weight": 1.0, "depths": [1.0]}
    features = loss_of(Recognition.model_validate(told), looker).detach()
    last = looker.body[2](looker.body[1](looker.body[0](images())))
    seen = looker.body[2](looker.body[1](looker.body[0](damaged)))
    assert float(features - answers) == pytest.approx(
        float((seen - last).square().mean() / last.var()), rel=1e-3
    )


def test_only_the_restorer_learns(loss_of: Callable[..., Tensor]) -> None:
    looker, model = Looker(), restorer()
    loss_of(Recognition(corruptions=ALL_BRIGHT), looker, model=model).backward()
    assert all(parameter.grad is None for parameter in looker.parameters())
    network: Any = model.network
    assert network is not None
    assert float(network.tone.weight.grad.abs().sum()) > 0


def test_every_step_looks_through_one_of_them(loss_of: Callable[..., Tensor]) -> None:
    method = Recognition(corruptions=ALL_BRIGHT)
    one, other = loss_of(method, Looker(0)).item(), loss_of(method, Looker(1)).item()
    assert one != other
    assert loss_of(method, Looker(0), Looker(1)).item() in (one, other)


def test_without_a_classifier_there_is_nothing_to_learn_from(loss_of: Callable[..., Tensor]) -> None:
    with pytest.raises(ConfigError, match="add 'recognisers:'"):
        loss_of(Recognition())


def test_validation_corrupts_every_image_in_the_same_way_each_time() -> None:
    method, model = Recognition(), restorer()
    first = method.pair(model, images()[:1], "corrupted", Rng(4))
    assert torch.equal(first.degraded, method.pair(model, images()[:1], "corrupted", Rng(4)).degraded)
    assert not torch.equal(first.degraded, images()[:1])
    assert torch.equal(method.pair(model, images()[:1], "clean", Rng(4)).degraded, images()[:1])
    with pytest.raises(ConfigError, match="no condition 'sigma25'"):
        method.pair(model, images()[:1], "sigma25", Rng(4))


def test_a_training_may_begin_with_pixels_alone(loss_of: Callable[..., Tensor]) -> None:
    always = Recognition(corruptions=ALL_BRIGHT, image_weight=2.0)
    later = always.model_copy(update={"pixels_until": 0.4})
    damaged = later._corrupted(images(), IDS, Rng(1).at("corrupt"), ALL_BRIGHT)
    expected = 2 * (damaged - images()).abs().mean()
    assert loss_of(later, Looker(), share=0.39).item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss_of(later, Looker(), share=0.4).item() == loss_of(always, Looker()).item()
    assert loss_of(always, Looker()).item() > expected.item()
    # Where every step looks, the key is what it was before the field.
    assert always.identity().keys() == later.identity().keys() - {"pixels_until"}


def test_labels_count_where_images_have_them(loss_of: Callable[..., Tensor]) -> None:
    plain = Recognition(corruptions=ALL_BRIGHT)
    taught = plain.model_copy(update={"label_weight": 0.5})
    assert (plain.needs_labels, taught.needs_labels) == (False, True)
    damaged = plain._corrupted(images(), IDS, Rng(1).at("corrupt"), ALL_BRIGHT)
    # A fresh restorer changes nothing, so that the classifier sees the damaged images.
    said = Looker()(damaged).log_softmax(dim=1)
    labels = torch.tensor([0, -1, 0, -1, 1, -1])
    expected = -0.5 * (said[0, 0] + said[2, 0] + said[4, 1]) / 3
    difference = loss_of(taught, Looker(), labels=labels) - loss_of(plain, Looker())
    assert difference.item() == pytest.approx(expected.item(), rel=1e-3)
    none = torch.full((6,), -1)
    assert loss_of(taught, Looker(), labels=none).item() == loss_of(plain, Looker()).item()
    assert plain.identity().keys() == taught.identity().keys() - {"label_weight"}


def test_the_answer_may_count_less_than_the_features(loss_of: Callable[..., Tensor]) -> None:
    alone = {"image_weight": 0.0, "corruptions": ALL_BRIGHT}
    answer = Recognition.model_validate(alone | {"feature_weight": 0.0})
    features = Recognition.model_validate(alone | {"answer_weight": 0.0})
    both = Recognition.model_validate(alone | {"answer_weight": 0.3})
    expected = 0.3 * loss_of(answer, Looker()) + loss_of(features, Looker())
    assert loss_of(both, Looker()).item() == pytest.approx(expected.item(), rel=1e-5)
    assert answer.identity().keys() == both.identity().keys() - {"answer_weight"}


def test_attacked_inputs_stay_in_the_ball_and_cost_more(loss_of: Callable[..., Tensor]) -> None:
    fields = {"image_weight": 0.0, "feature_weight": 0.0, "corruptions": ALL_BRIGHT}
    plain = Recognition.model_validate(fields)
    attacking = RecognitionAdversarial.model_validate(fields | {"eps": 8 / 255, "steps": 3})
    # Steeper than a fresh one: an answer that hardly depends on the image leaves nothing to attack.
    looker, model = Looker(), restorer()
    with torch.no_grad():
        looker.head.weight.mul_(20)
    damaged = plain._corrupted(images(), IDS, Rng(1).at("corrupt"), ALL_BRIGHT)
    moved = attacking._attacked(model, looker, damaged, looker(images()), Rng(1).at("attack"))
    assert float((moved - damaged).abs().max()) <= 8 / 255 + 1e-6
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert not moved.requires_grad
    assert loss_of(attacking, looker, model=model).item() > 1.2 * loss_of(plain, looker, model=model).item()
    assert all(parameter.grad is None for parameter in model.parameters())
