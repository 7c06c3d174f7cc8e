"""Early-stopped PGD, C&W, rotation and translation, patches, features, low frequencies: exact cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.fft import dctn, idctn
from torch import Tensor

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.defend.attacks.cw import CarliniWagner
from clearsight.defend.attacks.feature import FeaturePerturbation
from clearsight.defend.attacks.low_frequency import LowFrequency
from clearsight.defend.attacks.patch import Patch
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.attacks.pgd_early import EarlyPGD
from clearsight.defend.attacks.spatial import Spatial
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.defend.search.balls import size
from clearsight.defend.search.carlini_wagner import nearest
from clearsight.defend.search.early_stop import early_stopped
from clearsight.defend.search.frequencies import cosines, low_pass
from clearsight.defend.search.streams import Streams
from clearsight.defend.search.turning import turned
from clearsight.defend.target import AttackBatch, GradientOutput
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget


@dataclass
class Plain:
    """A target without a system: logits by a function, features the flattened image times a matrix."""

    forward: Callable[[Tensor], Tensor]
    see: Callable[[Tensor], Tensor] = lambda x: x.flatten(1)
    classes: int = 2
    stochastic: bool = False
    looks: list[int] = field(default_factory=list)

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        self.looks += rows.tolist()
        return self.forward(x)

    def gradient(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor], Tensor]) -> GradientOutput:
        return self.slope(x, rows, self.forward, loss)

    def features(self, x: Tensor, rows: Tensor, compare: Callable[[Tensor], Tensor]) -> GradientOutput:
        return self.slope(x, rows, self.see, compare)

    def slope(
        self, x: Tensor, rows: Tensor, view: Callable[[Tensor], Tensor], loss: Callable[[Tensor], Tensor]
    ) -> GradientOutput:
        self.looks += rows.tolist()
        leaf = x.clone().requires_grad_()
        losses = loss(view(leaf))
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        return GradientOutput(self.forward(x), losses.detach(), gradient)


def linear(weight: Tensor, bias: float = 0.0) -> Callable[[Tensor], Tensor]:
    """Return two logits whose difference is <weight, x> + bias; class 1 where it is positive."""

    def logits(x: Tensor) -> Tensor:
        value = (x.flatten(1) * weight.flatten()).sum(1) + bias
        return torch.stack((-value / 2, value / 2), dim=1)

    return logits


def drawn(*shape: int, name: str = "x") -> Tensor:
    return torch.rand(shape, generator=Rng(4).at(name).torch())


def batch(images: Tensor, labels: Tensor) -> AttackBatch:
    n = len(images)
    return AttackBatch(images, labels, tuple(f"p{i}" for i in range(n)), torch.arange(n))


def run(attack: Any, target: Any, found: AttackBatch) -> Tensor:
    out: Tensor = attack(target, found, Rng(0).at("attack"))
    return out


# Early stopping. One pixel, class 1 above 0.5: every step of 0.1 is seen in the numbers.


def stopped(starts: list[float], *, tau: int, steps: int = 5) -> Any:
    centre = torch.tensor(starts).reshape(-1, 1, 1, 1)
    labels = torch.zeros(len(starts), dtype=torch.int64)
    looks: list[list[int]] = []

    def look(x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        looks.append(at.tolist())
        return linear(torch.ones(1), -0.5)(x), torch.ones_like(x)

    found = early_stopped(
        look, centre, centre, labels, norm="linf", eps=0.45, steps=steps, step_size=0.1, tau=tau
    )
    return found, looks


def test_early_stop_counts() -> None:
    found, looks = stopped([0.35, 0.15, 0.0], tau=1)
    # 0.35 is right twice (0.35, 0.45), seen wrong at 0.55, makes its extra step and stays at 0.65; of 0.15
    # the extra step is the last of all, and nobody looks any more.
    assert found.images.flatten().tolist() == pytest.approx([0.65, 0.6, 0.45])
    assert found.kappa.tolist() == [2, 4, 5]
    assert found.left.tolist() == [0, 0, 1]
    assert found.frozen.tolist() == [True, False, False]
    assert found.fooled.flatten().tolist() == pytest.approx([0.65, 0.55, 0.45])
    assert looks == [[0, 1, 2]] * 4 + [[1, 2]]


@pytest.mark.parametrize(("tau", "end", "looked"), [(0, 0.55, 3), (1, 0.65, 4), (2, 0.75, 5), (9, 0.8, 5)])
def test_early_stop_makes_tau_extra_steps(tau: int, end: float, looked: int) -> None:
    found, looks = stopped([0.35], tau=tau)
    assert found.images.item() == pytest.approx(end)
    assert len(looks) == looked
    assert found.left.item() == max(0, tau - (looked - 2 - (tau < 3)))


def test_early_stop_with_many_extra_steps_is_pgd() -> None:
    weight = drawn(3, 4, 4, name="w") - 0.5
    images = drawn(6, 3, 4, 4)
    target = Plain(linear(weight, -float((weight * images).sum((1, 2, 3)).median())))
    found = batch(images, target.forward(images).argmax(1))
    fields: dict[str, Any] = {"eps": 0.3, "steps": 4, "step": 0.02, "random_start": False}
    friendly = run(EarlyPGD(tau=4, **fields), target, found)
    x = images
    for _ in range(4):
        sign = (1 - 2 * found.labels).reshape(-1, 1, 1, 1) * weight.sign()
        x = (x + 0.02 * sign).clamp(images - 0.3, images + 0.3).clamp(0, 1)
    assert torch.allclose(friendly, x, atol=1e-6)
    # Without extra steps both end at the first misclassified point.
    assert torch.equal(run(EarlyPGD(**fields), target, found), run(PGD(**fields), target, found))


def test_early_stop_falls_back_on_the_point_that_was_wrong() -> None:
    # Wrong between 0.5 and 0.6 only: the extra step leaves it again.
    def logits(x: Tensor) -> Tensor:
        value = x.flatten(1)[:, 0]
        return torch.stack((0.01 * (0.5 - value), 0.05 * (0.05 - (value - 0.55).abs()).clamp_min(-1)), 1)

    images = torch.tensor([[[[0.44]]]])
    found = batch(images, logits(images).argmax(1))
    assert found.labels.item() == 0
    for tau in (0, 1):
        out = run(
            EarlyPGD(eps=0.4, steps=2, step_size=0.08, tau=tau, random_start=False), Plain(logits), found
        )
        assert logits(out).argmax(1).item() == 1


# Carlini and Wagner.


@pytest.mark.parametrize("kappa", [0.0, 0.05])
@pytest.mark.slow
def test_minimal_cw_finds_the_distance_to_a_hyperplane(kappa: float) -> None:
    weight = drawn(1, 4, 4, name="w") - 0.5
    images = 0.4 + 0.2 * drawn(5, 1, 4, 4)
    target = Plain(linear(weight, 0.02))
    margins = (images.flatten(1) * weight.flatten()).sum(1) + 0.02
    found = batch(images, (margins > 0).long())
    exact = (margins.abs() + kappa) / weight.norm()
    got = nearest(target, found, steps=120, searches=6, c=0.3, kappa=kappa, rate=0.01)  # type: ignore[arg-type]
    assert torch.allclose(got.distance, exact, rtol=0.03)
    assert torch.allclose(size(got.images - images, "l2"), got.distance, atol=1e-6)
    assert (target.forward(got.images).argmax(1) != found.labels).all()


@pytest.mark.slow
def test_minimal_cw_succeeds_where_the_distance_is_within_eps() -> None:
    weight = torch.full((1, 4, 4), 0.25)
    images = torch.full((3, 1, 4, 4), 0.5) + torch.tensor([0.01, 0.05, 0.09]).reshape(3, 1, 1, 1)
    target = Plain(linear(weight, -2.0))
    found = batch(images, torch.ones(3, dtype=torch.int64))
    attack = CarliniWagner(norm="l2", eps=0.25, minimal=True, steps=100, searches=6, c=0.3, rate=0.01)
    out = run(attack, target, found)
    # The distances are 0.04, 0.2 and 0.36.
    assert (target.forward(out).argmax(1) == 0).tolist() == [True, True, False]
    assert size(out - images, "l2").tolist() == pytest.approx([0.04, 0.2, 0.25], rel=0.03)


@pytest.mark.slow
def test_minimal_cw_moves_pixels_off_their_bounds() -> None:
    images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2).clone()
    target = Plain(linear(torch.ones(4), -2.0))
    found = batch(images, target.forward(images).argmax(1))
    got = nearest(target, found, steps=200, searches=4, c=1.0, kappa=0.0, rate=0.2)  # type: ignore[arg-type]
    assert torch.allclose(got.distance, torch.tensor([1.0, 1.0]), rtol=0.05)


def test_cw_in_the_ball_goes_on_to_its_confidence() -> None:
    target = Plain(linear(torch.ones(4), -2.2))
    found = batch(torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]))
    fields: dict[str, Any] = {"eps": 0.3, "step": 0.02, "steps": 10, "random_start": False}
    for kappa in (0.0, 0.3):
        out = run(CarliniWagner(kappa=kappa, **fields), target, found)
        margin = float(target.forward(out) @ torch.tensor([-1.0, 1.0]))
        assert kappa <= margin + 1e-6 < kappa + 0.09
    # More than the ball allows: the best of what it saw comes back.
    best = run(CarliniWagner(kappa=5.0, **fields), target, found)
    assert torch.allclose(best, torch.full((1, 1, 2, 2), 0.7), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minimal": True}, "write 'norm: l2'"),
        ({"minimal": True, "norm": "l2", "restarts": 2}, "restarts: has no meaning with 'minimal: true'"),
        ({"searches": 3}, "searches: has no meaning without 'minimal: true'"),
        ({"norm": "l1"}, "cw is defined for linf, l2, not for l1"),
    ],
)
def test_cw_fields_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CarliniWagner.model_validate(fields)


# Rotation and translation.


def one_turn(x: Tensor, degrees: float, down: float = 0.0, right: float = 0.0, **how: Any) -> Tensor:
    n = len(x)
    return turned(x, torch.full((n,), degrees), torch.tensor([down, right]).expand(n, 2), **how)


def test_quarter_turns_and_whole_pixels_are_exact() -> None:
    x = drawn(2, 3, 8, 8)
    for quarters in range(4):
        assert torch.allclose(one_turn(x, 90.0 * quarters), torch.rot90(x, quarters, (2, 3)), atol=2e-6)
    moved = torch.zeros_like(x)
    moved[:, :, 2:, :-1] = x[:, :, :-2, 1:]
    assert torch.allclose(one_turn(x, 0, 2 / 8, -1 / 8), moved, atol=2e-6)
    assert torch.allclose(one_turn(x, 0, 3 / 8, border="border")[:, :, :3], x[:, :, :1], atol=2e-6)
    # First turned, then shifted.
    both = one_turn(torch.rot90(x, 1, (2, 3)), 0, 1 / 8, 2 / 8)
    assert torch.allclose(one_turn(x, 90.0, 1 / 8, 2 / 8), both, atol=2e-6)


@pytest.mark.parametrize("degrees", [-25.0, 7.0, 90.0])
@pytest.mark.parametrize("how", ["zeros", "border"])
def test_turning_is_opencvs(degrees: float, how: Any) -> None:
    height, width, down, right = 17, 23, 0.05, -0.1
    x = torch.nn.functional.interpolate(drawn(1, 1, 5, 6), size=(height, width), mode="bilinear")
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += np.array([right * width, down * height])
    expected = cv2.warpAffine(
        x[0, 0].numpy(),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT if how == "zeros" else cv2.BORDER_REPLICATE,
    )
    found = one_turn(x, degrees, down, right, border=how)[0, 0].numpy()
    # OpenCV rounds positions to 1/32 pixel.
    assert np.abs(found - expected).max() < 0.04
    assert np.abs(found - expected).mean() < 0.005


def test_each_image_is_turned_by_itself() -> None:
    x = drawn(3, 3, 6, 9)
    degrees, shift = torch.tensor([0.0, 20.0, -90.0]), torch.tensor([[0.0, 0.0], [0.1, 0.2], [0.0, -0.3]])
    together = turned(x, degrees, shift)
    for i in range(3):
        assert torch.allclose(turned(x[i : i + 1], degrees[i : i + 1], shift[i : i + 1])[0], together[i])


def test_grid_is_engstroms_without_the_identity_and_from_small_to_great() -> None:
    poses = Spatial().poses()
    assert len(poses) == len(set(poses)) == 31 * 5 * 5 - 1
    assert (0.0, 0.0, 0.0) not in poses
    assert max(poses) == (30.0, 0.1, 0.1)
    assert abs(poses[0][0]) == pytest.approx(2.0)
    assert {tuple(map(abs, pose)) for pose in poses[-4:]} == {(30.0, 0.1, 0.1)}
    assert Spatial(angles=1, shifts=3).poses()[0] != (0.0, 0.0, 0.0)


def test_least_pose_comes_back() -> None:
    # Class 1 as soon as the bright column at the left has moved out.
    def logits(x: Tensor) -> Tensor:
        return torch.stack((x[:, 0, :, 0].mean(1) - 0.1, torch.zeros(len(x))), dim=1)

    x = torch.zeros(1, 1, 10, 10)
    x[:, :, :, 0] = 1.0
    found = batch(x, torch.tensor([0]))
    out = run(Spatial(rotation=0, shift=0.2, shifts=5), Plain(logits), found)
    right = one_turn(x, 0, 0, 0.1)
    left = one_turn(x, 0, 0, -0.1)
    assert torch.equal(out, left) or torch.equal(out, right)
    safe = run(
        Spatial(rotation=0, shift=0.2, shifts=5), Plain(lambda x: logits(x) + 1.0 * torch.eye(2)[0]), found
    )
    assert torch.equal(safe, x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotation": 0, "shift": 0}, "nothing would move"),
        ({"angles": 1, "shifts": 1}, "the image as it is"),
        ({"shift": 3}, "less than or equal to 1"),
    ],
)
def test_spatial_fields_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Spatial.model_validate(fields)


# Patches.


def boxes(changed: Tensor) -> list[tuple[int, int, int, int]]:
    """Return (top, left, height, width) of what changed in each image (n, h, w)."""
    out = []
    for one in changed:
        rows, columns = one.any(1).nonzero()[:, 0], one.any(0).nonzero()[:, 0]
        top, left = int(rows[0]), int(columns[0])
        out.append((top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1))
    return out


def test_patch_changes_a_square_and_nothing_else() -> None:
    x = 0.5 * torch.ones(12, 3, 10, 14)
    robust = Plain(linear(torch.ones(420) * 1e-3, 5.0))
    out = run(Patch(side=0.3, steps=2), robust, batch(x, torch.ones(12, dtype=torch.int64)))
    found = boxes((out != x).any(1))
    assert {box[2:] for box in found} == {(3, 3)}
    assert len({box[:2] for box in found}) > 6, "the places are random"


@pytest.mark.parametrize(
    ("place", "corner"), [((0, 0), (0, 0)), ((1, 1), (6, 10)), ((0.5, 0.5), (3, 5)), ((0, 1), (0, 10))]
)
def test_patch_at_a_fixed_place(place: tuple[float, float], corner: tuple[int, int]) -> None:
    x = 0.5 * torch.ones(2, 1, 10, 14)
    robust = Plain(linear(torch.ones(140) * 1e-3, 5.0))
    out = run(Patch(side=0.4, place=place, steps=2), robust, batch(x, torch.ones(2, dtype=torch.int64)))
    assert boxes((out != x).any(1)) == [(*corner, 4, 4)] * 2


def test_patch_reaches_the_corner_of_the_cube() -> None:
    weight = drawn(3, 8, 8, name="w") - 0.5
    x = drawn(1, 3, 8, 8)
    target = Plain(linear(weight, 50.0))
    out = run(Patch(side=0.5, place=(0, 0), steps=30), target, batch(x, torch.tensor([1])))
    best = x.clone()
    best[:, :, :4, :4] = (weight[:, :4, :4] < 0).float()
    assert torch.equal(out, best)


# Features.


def test_guides_are_of_another_class_and_stay() -> None:
    n = 12
    found = batch(drawn(n, 1, 2, 2), torch.arange(n) % 3)
    attack = FeaturePerturbation(direction="towards", restarts=2)
    guides = attack._guides(found, Rng(0))
    assert (found.labels[guides] != found.labels[:, None]).all()
    assert (guides[:, 0] != guides[:, 1]).all()
    assert len(set(guides[:, 0].tolist())) > 3
    for out in range(n):
        left = torch.tensor([i for i in range(n) if i != out])
        fewer = left[attack._guides(found.of(left), Rng(0))]
        kept = (guides[left] != out).all(1)
        assert torch.equal(fewer[kept], guides[left][kept])
    alone = attack._guides(found.of(torch.tensor([0, 3, 6])), Rng(0))
    assert (alone == -1).all(), "all of one class"


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_features_move_as_told(norm: Any) -> None:
    matrix = drawn(12, 5, name="m") - 0.5
    x = drawn(4, 3, 2, 2)
    labels = torch.tensor([0, 1, 0, 1])

    def stubborn(images: Tensor) -> Tensor:
        # Always the label of the nearest clean image, so that no image is ever done.
        chosen = torch.cdist(images.flatten(1), x.flatten(1)).argmin(1)
        return torch.eye(2)[labels[chosen]]

    target = Plain(stubborn, see=lambda images: images.flatten(1) @ matrix)
    found = batch(x, labels)
    eps = 0.05 if norm == "linf" else 0.1
    clean = target.see(x)
    fields: dict[str, Any] = {"norm": norm, "eps": eps, "steps": 10}
    away = target.see(run(FeaturePerturbation(**fields), target, found))
    attack = FeaturePerturbation(direction="towards", **fields)
    towards = target.see(run(attack, target, found))
    goal = clean[attack._guides(found, Rng(0).at("attack", "feature"))[:, 0]]
    assert ((towards - goal).norm(dim=1) < 0.97 * (clean - goal).norm(dim=1)).all()
    assert ((towards - goal).norm(dim=1) <= (away - goal).norm(dim=1) + 1e-6).all()
    assert ((away - clean).norm(dim=1) >= (towards - clean).norm(dim=1) * 0.9).all()
    # Without a guide it goes away from itself.
    one = found.of(torch.tensor([2]))
    assert torch.equal(run(attack, target, one), run(FeaturePerturbation(**fields), target, one))


def test_features_of_a_system_without_a_linear_layer() -> None:
    toy = Path(__file__).parents[1] / "pipelines" / "toy.py"
    system = System(chain(PythonClassifier(call=f"{toy}:brightest", classes=3)))
    x = drawn(2, 3, 4, 4)
    found = batch(x, system(x).argmax(1))
    with pytest.raises(AttackError, match="no linear layer whose input could serve as features"):
        run(FeaturePerturbation(), SystemTarget(system, found.ids, Rng(0)), found)


# Low frequencies.


@pytest.mark.parametrize("length", [1, 2, 7, 32])
def test_cosines_are_orthonormal(length: int) -> None:
    matrix = cosines(length).double()
    assert torch.allclose(matrix @ matrix.T, torch.eye(length, dtype=torch.float64), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    share=st.floats(0.01, 1.0),
)
def test_low_pass_is_scipys(height: int, width: int, share: float) -> None:
    x = drawn(2, 3, height, width)
    kept = dctn(x.double().numpy(), axes=(2, 3), norm="ortho")
    kept[:, :, max(1, round(share * height)) :] = 0
    kept[:, :, :, max(1, round(share * width)) :] = 0
    expected = torch.from_numpy(idctn(kept, axes=(2, 3), norm="ortho")).float()
    found = low_pass(x, share)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(low_pass(found, share), found, atol=1e-5)


def test_low_frequency_stays_below_its_share() -> None:
    weight = drawn(1, 16, 16, name="w") - 0.5
    x = 0.4 + 0.2 * drawn(3, 1, 16, 16)
    target = Plain(linear(weight, 9.0))
    found = batch(x, torch.ones(3, dtype=torch.int64))
    out = run(LowFrequency(norm="l2", eps=0.3, share=0.25, steps=20, step_size=0.6), target, found)
    delta = out - x
    assert torch.allclose(low_pass(delta, 0.25), delta, atol=1e-5)
    # The best smooth perturbation of a linear function: along the smooth part of its weights.
    best = -0.3 * low_pass(weight[None], 0.25) / low_pass(weight[None], 0.25).norm()
    assert torch.allclose(delta, best.expand_as(delta), atol=1e-5)
    sharp = run(LowFrequency(eps=0.05, share=0.25, steps=20), target, found) - x
    assert low_pass(sharp, 0.25).norm() > 0.95 * sharp.norm()
    assert sharp.abs().max() == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_all_frequencies_are_pgd(norm: Any) -> None:
    weight = drawn(3, 6, 6, name="w") - 0.5
    x = drawn(3, 3, 6, 6)
    target = Plain(linear(weight, 9.0))
    found = batch(x, torch.ones(3, dtype=torch.int64))
    fields: dict[str, Any] = {"norm": norm, "eps": 0.1, "steps": 5, "random_start": False}
    low, all_of_it = run(LowFrequency(share=1, **fields), target, found), run(PGD(**fields), target, found)
    assert torch.allclose(low, all_of_it, atol=1e-6)


def test_low_frequency_starts_far_enough_out() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    found = batch(x, torch.zeros(2, dtype=torch.int64))
    for norm in ("linf", "l2"):
        attack = LowFrequency(norm=norm, eps=0.1)
        start = attack._start(x, Streams(Rng(0), found.ids), torch.arange(2))
        assert (size(start - x, norm) > 0.09).all()
        assert (size(start - x, norm) <= 0.1 + 1e-6).all()
        assert not torch.equal(start[0], start[1])
    assert math.isclose(float(low_pass(start - x, 0.25).norm()), float((start - x).norm()), rel_tol=1e-4)
