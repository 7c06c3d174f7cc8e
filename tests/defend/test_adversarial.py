from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh
from clearsight.defend.search.training_attack import TrainingAttack
from clearsight.defend.training.adversarial import Adversarial

CLASSES = 5
SIDE = 8


class Tiny(nn.Module):
    """A convolution with batch normalisation and a linear layer; it keeps a diary of its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * SIDE * SIDE, CLASSES)
        self.forwards: list[tuple[bool, Tensor]] = []
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards.append((self.training, x.detach().clone()))
        out: Tensor = self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))
        if out.requires_grad:
            out.register_hook(self.passed)
        return out

    def passed(self, _: Tensor) -> None:
        self.backwards += 1


@pytest.fixture
def model() -> Tiny:
    return tiny()


def tiny() -> Tiny:
    made = fresh(Tiny, Rng(3))
    with torch.no_grad():
        # Statistics that differ from those of any batch, so that the two modes give different logits.
        made.norm.get_buffer("running_mean").add_(0.3)
    return made.train()


def batch(n: int = 6, share: float = 1.0, *, labelled: bool = True) -> TrainBatch:
    generator = Rng(1).at("images").torch()
    images = torch.rand(n, 3, SIDE, SIDE, generator=generator)
    # Some values at the ends of the range, where clamping matters.
    images = ((images - 0.5) * 1.4 + 0.5).clamp(0, 1)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    return TrainBatch(images, labels if labelled else None, tuple(map(str, range(n))), share)


def losses(method: Adversarial, model: nn.Module, given_batch: TrainBatch, rng: Rng) -> list[Tensor]:
    found = list(method.step({MODEL: model}, given_batch, rng))
    assert [name for name, _ in found] == [MODEL]
    return [loss for _, loss in found]


def labels_of(one: TrainBatch) -> Tensor:
    assert one.labels is not None
    return one.labels


def lengths(change: Tensor) -> Tensor:
    found: Tensor = change.flatten(1).norm(dim=1)
    return found


EVERY: dict[str, dict[str, Any]] = {
    "pgd": {},
    "pgd-l2": {"norm": "l2", "eps": 0.5},
    "n-fgsm": {"steps": 1},
    "fgsm": {"steps": 1, "guard": "none"},
    "ramp": {"steps": 1, "guard": "ramp"},
    "n-fgsm-l2": {"steps": 1, "norm": "l2", "eps": 0.5},
}
every = pytest.mark.parametrize("fields", EVERY.values(), ids=EVERY.keys())


@given(
    norm=st.sampled_from(["linf", "l2"]),
    eps=st.floats(0.001, 1.0),
    steps=st.integers(1, 4),
    reach=st.floats(0.1, 4.0),
    share=st.floats(0.0, 1.0),
)
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_stays_in_the_ball_and_in_range(
    norm: Any, eps: float, steps: int, reach: float, share: float
) -> None:
    one = batch()
    guard: Literal["ramp", "none"] = "ramp" if share < 0.5 else "none"
    method = Adversarial(norm=norm, eps=eps, steps=steps, step_size=reach * eps, guard=guard)
    attack = method.training_attack(share)
    hard = attack.applied(tiny(), one.images, labels_of(one), Rng(0).at(share))
    assert hard.dtype == torch.float32
    assert not hard.requires_grad
    assert float(hard.min()) >= 0.0
    assert float(hard.max()) <= 1.0
    change = hard - one.images
    size = change.abs().flatten(1).amax(1) if norm == "linf" else lengths(change)
    assert float(size.max()) <= attack.eps * (1 + 1e-5) + 1e-6
    assert attack.eps <= eps


def test_noise_moves_three_eps_at_most(model: Tiny) -> None:
    one = batch(32)
    method = Adversarial(steps=1)
    hard = method.training_attack().applied(model, one.images, labels_of(one), Rng(0))
    change = (hard - one.images).abs()
    assert method.eps < float(change.max()) <= 3 * method.eps + 1e-6
    assert float(hard.min()) >= 0.0
    assert float(hard.max()) <= 1.0


@every
def test_attack_raises_the_loss_of_every_image(fields: dict[str, Any], model: Tiny) -> None:
    one = batch(12)
    labels = labels_of(one)
    hard = Adversarial(**fields).training_attack().applied(model, one.images, labels, Rng(0))
    model.eval()
    before = cross_entropy(model(one.images), labels, reduction="none")
    after = cross_entropy(model(hard), labels, reduction="none")
    assert bool((after > before).all())


@pytest.mark.parametrize("natural", [0.0, 0.4])
@pytest.mark.parametrize("steps", [1, 3])
def test_passes_and_their_modes(steps: int, natural: float, model: Tiny) -> None:
    one = batch()
    (loss,) = losses(Adversarial(steps=steps, natural=natural), model, one, Rng(0))
    # The attack looks at eval mode, then one forward of the attacked and perhaps one of the clean images.
    trained = 2 if natural else 1
    assert [mode for mode, _ in model.forwards] == [False] * steps + [True] * trained
    assert model.backwards == steps
    assert not torch.equal(model.forwards[steps][1], one.images)
    if natural:
        assert torch.equal(model.forwards[-1][1], one.images)
    loss.backward()
    assert model.backwards == steps + trained
    assert all(module.training for module in model.modules())


def test_inner_loop_leaves_parameters_alone(model: Tiny) -> None:
    model.head.bias.requires_grad_(False)
    wanted = {name: each.requires_grad for name, each in model.named_parameters()}
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    seen: list[bool] = []
    model.conv.register_forward_hook(lambda *_: seen.append(model.conv.weight.requires_grad))
    one = batch()
    Adversarial(steps=3).training_attack().applied(model, one.images, labels_of(one), Rng(0))
    assert seen == [False] * 3
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {name: each.requires_grad for name, each in model.named_parameters()} == wanted
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert model.training


def test_an_interrupted_attack_leaves_the_model_as_it_was(model: Tiny) -> None:
    one = batch()
    with pytest.raises(RuntimeError):
        Adversarial().training_attack().applied(model, one.images[:, :, :4], labels_of(one), Rng(0))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("natural", [0.0, 0.5, 1.0])
def test_statistics_are_those_of_the_attacked_images(natural: float, model: Tiny) -> None:
    losses(Adversarial(steps=2, natural=natural), model, batch(), Rng(0))
    hard = model.forwards[2][1]
    other = tiny()
    other(hard)
    assert torch.equal(model.norm.running_mean, other.norm.running_mean)
    assert torch.equal(model.norm.running_var, other.norm.running_var)
    assert int(model.norm.num_batches_tracked) == 1
    assert model.norm.track_running_stats


@every
def test_same_stream_same_result(fields: dict[str, Any]) -> None:
    method, one = Adversarial(**fields), batch()
    state = torch.get_rng_state()
    found = [losses(method, tiny(), one, Rng(0).at(name))[0] for name in ("a", "a", "b")]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_labels_are_needed(model: Tiny) -> None:
    with pytest.raises(DataError, match="adversarial: needs labels"):
        losses(Adversarial(), model, batch(labelled=False), Rng(0))


def signed(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the loss by the images, one image at a time."""
    rows = []
    for row in range(len(x)):
        point = x[row : row + 1].clone().requires_grad_()
        cross_entropy(model(point), labels[row : row + 1]).backward()
        assert point.grad is not None
        rows.append(point.grad)
    return torch.cat(rows)


def test_pgd_against_a_reference() -> None:
    """Madry et al. 2018: x <- clip(x + a sign(gradient)) within eps of the image and within [0, 1]."""
    one, eps, size = batch(), 0.05, 0.02
    labels, model = labels_of(one), tiny().eval()
    start = TrainingAttack("linf", eps, 0, size, start=eps).applied(model, one.images, labels, Rng(5))
    x = start
    for _ in range(3):
        x = x + size * torch.sign(signed(model, x, labels))
        x = torch.max(torch.min(x, one.images + eps), one.images - eps)
        x = torch.min(torch.max(x, torch.zeros(())), torch.ones(()))
    method = Adversarial(eps=eps, steps=3, step_size=size, label_smoothing=0.1, natural=0.25)
    hard = method.training_attack().applied(model, one.images, labels, Rng(5))
    assert torch.allclose(hard, x, atol=1e-6)
    trained = tiny()
    (loss,) = losses(method, trained, one, Rng(5))
    spread = torch.full((len(labels), CLASSES), 0.1 / CLASSES)
    spread[torch.arange(len(labels)), labels] += 0.9
    expected = [-(spread * tiny()(each).log_softmax(1)).sum(1).mean() for each in (x, one.images)]
    assert torch.allclose(loss, 0.75 * expected[0] + 0.25 * expected[1], atol=1e-5)


def test_l2_step_against_a_reference() -> None:
    one, eps, size = batch(), 0.4, 0.3
    labels, model = labels_of(one), tiny().eval()
    x = TrainingAttack("l2", eps, 0, size, start=eps).applied(model, one.images, labels, Rng(5))
    for _ in range(3):
        for row, slope in enumerate(signed(model, x, labels)):
            change = x[row] + size * slope / slope.norm() - one.images[row]
            x[row] = (one.images[row] + change * min(1.0, eps / float(change.norm()))).clamp(0, 1)
    hard = TrainingAttack("l2", eps, 3, size, start=eps).applied(model, one.images, labels, Rng(5))
    assert torch.allclose(hard, x, atol=1e-5)


def test_n_fgsm_against_a_reference() -> None:
    """De Jorge et al. 2022: one step of eps from a start within 2 eps, no projection."""
    one, eps = batch(), 8 / 255
    labels, model = labels_of(one), tiny().eval()
    start = TrainingAttack("linf", eps, 0, eps, start=2 * eps).applied(model, one.images, labels, Rng(5))
    expected = (start + eps * signed(model, start, labels).sign()).clamp(0, 1)
    hard = Adversarial(steps=1).training_attack().applied(model, one.images, labels, Rng(5))
    assert torch.allclose(hard, expected, atol=1e-6)


def test_start_is_uniform_in_the_ball(model: Tiny) -> None:
    images = torch.full((600, 3, 2, 2), 0.5)
    labels = torch.zeros(600, dtype=torch.int64)
    flat = TrainingAttack("linf", 0.1, 0, 0.1, start=0.1).applied(model, images, labels, Rng(0)) - images
    assert float(flat.abs().max()) <= 0.1 + 1e-6
    assert float(flat.std()) == pytest.approx(0.2 / 12**0.5, rel=0.03)
    assert abs(float(flat.mean())) < 0.003
    ball = TrainingAttack("l2", 0.1, 0, 0.1, start=0.1).applied(model, images, labels, Rng(0)) - images
    # In 12 dimensions the share of the volume within radius r of the unit ball is r^12.
    inside = (lengths(ball) / 0.1) ** 12
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.04)
    assert float(inside.max()) <= 1.0 + 1e-4


def test_step_sizes_follow_from_the_other_fields() -> None:
    assert Adversarial().training_attack().size == pytest.approx(2 / 255)
    assert Adversarial(steps=5).training_attack().size == pytest.approx(4 / 255)
    assert Adversarial(steps=1).training_attack().size == pytest.approx(8 / 255)
    assert Adversarial(steps=1, guard="none").training_attack().size == pytest.approx(10 / 255)
    assert Adversarial(steps=1, guard="none", step_size=0.01).training_attack().size == 0.01
    assert Adversarial(steps=1).training_attack().start == pytest.approx(16 / 255)
    assert Adversarial.model_validate({"kind": "adversarial", "eps": "8/255"}).eps == pytest.approx(8 / 255)


def test_ramp_grows_and_stops(model: Tiny) -> None:
    method = Adversarial(steps=1, guard="ramp", ramp=0.5)
    assert [method.training_attack(share).eps * 255 for share in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
        [0, 4, 8, 8]
    )
    one = batch(share=0.0)
    losses(method, model, one, Rng(0))
    assert torch.equal(model.forwards[-1][1], one.images)


def test_examined_images_are_attacked_in_the_whole_ball(model: Tiny) -> None:
    one = batch()
    method = Adversarial(steps=1, validation_steps=4)
    model.eval()
    with torch.no_grad():
        hard = method.validation_attack(model, one.images, labels_of(one), Rng(0))
    assert [mode for mode, _ in model.forwards] == [False] * 4
    assert not model.training
    assert float((hard - one.images).abs().max()) == pytest.approx(method.eps, abs=1e-6)
    assert method.robust_validation == "PGD-4, linf, eps 8/255, one random start"
    assert Adversarial(norm="l2", eps=0.5).robust_validation == "PGD-5, l2, eps 0.5, one random start"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eps": 8}, r"eps is for pixels in \[0, 1\]: 8 is above 1; write 8/255"),
        ({"eps": 128, "norm": "l2"}, r"eps is for pixels in \[0, 1\]"),
        ({"eps": 0}, "greater than 0"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"natural": 1.5}, "less than or equal to 1"),
        ({"steps": 2, "guard": "noise"}, "guard: noise is for steps: 1"),
        ({"step": 0.1}, "unknown field 'step'"),
    ],
    ids=["levels", "levels-l2", "zero", "no-steps", "share", "noise", "unknown"],
)
def test_bad_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Adversarial.model_validate(fields)
