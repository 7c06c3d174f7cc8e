"""Bounds of layers against an exact solver, attacks and closed forms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from attack_toys import ToyTarget, attack_batch_of, flattened, linear, random_images
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.defend.bounds import intervals, relaxation
from clearsight.defend.bounds.layers import Affine, Layer, Scale, computed, layers_of, unrolled
from clearsight.defend.certify.bounding import Bounding
from clearsight.defend.certify.crown import CROWN
from clearsight.defend.certify.ibp import IBP
from clearsight.defend.target import AttackBatch

SHAPE = (1, 4, 4)


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return a network with normal weights, and statistics of batch normalisation that are not 0 and 1."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            tensor.zero_()
            continue
        draw = torch.randn(tensor.shape, generator=Rng(seed).at(name).torch())
        if tensor.dim() > 1:
            tensor.copy_(draw * (2.0 / tensor[0].numel()) ** 0.5)
        else:
            tensor.copy_(0.1 * draw if name.endswith(("bias", "mean")) else draw.abs() + 0.5)
    return model.eval()


def small() -> nn.Module:
    """Return a convolutional network of every layer that is taken, with few neurons."""
    # Made without drawing from the global generator.
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(4, 4, 2, bias=False), nn.ReLU(), nn.AvgPool2d(1)),
            nn.Flatten(),
            nn.Linear(4, 6),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(6, 3),
        )
    return drawn(model.to_empty(device="cpu").requires_grad_(requires_grad=False))


def layers(model: nn.Module) -> list[Layer]:
    return layers_of(list(unrolled(model)), "test")


def rivals(model: nn.Module, images: Tensor) -> Tensor:
    found = model(images)
    eye = torch.eye(found.shape[1], dtype=torch.float64)
    own = eye[found.argmax(1)][:, None, :] - eye[None]
    return own[eye[found.argmax(1)] == 0].view(len(images), -1, found.shape[1])


def matrix(layer: Affine, shape: torch.Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix and the constant of an affine layer, by trying every input."""
    zero = layer.forward(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
    size = int(np.prod(shape))
    eye = torch.eye(size, dtype=torch.float64).view(size, *shape)
    return (layer.forward(eye).flatten(1) - zero).T.numpy(), zero.numpy()


def exact(stack: Sequence[Layer], low: Tensor, high: Tensor, row: Tensor) -> float:
    """Return the least value of a functional of the logits over a box: a mixed integer program (HiGHS).

    Every ReLU that may be on or off has a binary variable; the big numbers are the interval bounds.
    """
    found = intervals.boxes(stack, low, high)
    sizes = [int(end.numel()) for end, _ in found]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    relus = [i for i, layer in enumerate(stack) if layer is None]
    binary_at = {i: int(starts[-1] + sum(sizes[j] for j in relus if j < i)) for i in relus}
    total = int(starts[-1]) + sum(sizes[i] for i in relus)
    lower, upper, whole = np.zeros(total), np.ones(total), np.zeros(total)
    for i, (least, most) in enumerate(found):
        lower[starts[i] : starts[i + 1]], upper[starts[i] : starts[i + 1]] = least.flatten(), most.flatten()
    whole[int(starts[-1]) :] = 1
    rules: list[LinearConstraint] = []

    def rule(entries: dict[int, float], least: float, most: float) -> None:
        a = np.zeros(total)
        for place, value in entries.items():
            a[place] += value
        rules.append(LinearConstraint(a, least, most))

    for i, layer in enumerate(stack):
        if layer is not None:
            weights, constant = matrix(layer, found[i][0].shape[1:])
            for j in range(sizes[i + 1]):
                entries = {int(starts[i]) + k: -float(weights[j, k]) for k in range(sizes[i])}
                rule(entries | {int(starts[i + 1]) + j: 1.0}, constant[j], constant[j])
            continue
        for j in range(sizes[i]):
            z, y, on = int(starts[i]) + j, int(starts[i + 1]) + j, binary_at[i] + j
            lowest, highest = float(found[i][0].flatten()[j]), float(found[i][1].flatten()[j])
            rule({y: 1.0, z: -1.0}, 0.0, np.inf)
            rule({y: 1.0, z: -1.0, on: -min(lowest, 0.0)}, -np.inf, -min(lowest, 0.0))
            rule({y: 1.0, on: -max(highest, 0.0)}, -np.inf, 0.0)
    cost = np.zeros(total)
    cost[int(starts[-2]) : int(starts[-1])] = row.numpy()
    solved = milp(cost, constraints=rules, integrality=whole, bounds=Bounds(lower, upper))
    assert solved.status == 0
    return float(solved.fun)


@pytest.mark.parametrize("eps", [0.02, 0.1])
def test_the_bounds_lie_below_the_exact_minimum_which_lies_below_what_sampling_finds(eps: float) -> None:
    model, images = small(), random_images(2, SHAPE)
    stack, rows = layers(model), rivals(model, images)
    low, high = (images.double() - eps).clamp(0, 1), (images.double() + eps).clamp(0, 1)
    loose, tight = (found.margins(stack, low, high, rows) for found in (intervals, relaxation))
    truth = torch.tensor(
        [[exact(stack, low[i : i + 1], high[i : i + 1], row) for row in rows[i]] for i in range(len(images))],
        dtype=torch.float64,
    )
    assert (loose <= tight + 1e-9).all()
    assert (tight <= truth + 1e-7).all()
    tried = torch.rand(400, *SHAPE, dtype=torch.float64, generator=Rng(3).torch())
    corners = (tried > 0.5).double()
    for i in range(len(images)):
        for mix in (tried, corners):
            logits = computed(stack, low[i] + mix * (high[i] - low[i]))
            assert (truth[i] <= (logits @ rows[i].T).amin(0) + 1e-7).all()
    # Not only sound: where few signs are open, CROWN is nearly exact.
    if eps == 0.02:
        assert (truth - tight).max() < 0.05 * truth.abs().max()
        assert (tight - loose).max() > 0.0


def test_crown_is_exact_where_every_sign_is_known() -> None:
    model, images = small(), random_images(2, SHAPE)
    stack, rows = layers(model), rivals(model, images)
    low, high = images.double() - 1e-5, images.double() + 1e-5
    tight = relaxation.margins(stack, low, high, rows)
    truth = [[exact(stack, low[i : i + 1], high[i : i + 1], row) for row in rows[i]] for i in range(2)]
    assert torch.allclose(tight, torch.tensor(truth, dtype=torch.float64), atol=1e-9)


def certify(certificate: Bounding, model: nn.Module, batch: AttackBatch, classes: int) -> Tensor:
    return certificate(ToyTarget(model, classes, len(batch)), batch, Rng(0).at("certify"))


@pytest.mark.parametrize("kind", [IBP, CROWN])
def test_a_linear_classifier_has_its_closed_radius(kind: type[Bounding]) -> None:
    # The margin falls by eps times the l1 norm of the weights' difference: no layer makes the bound loose.
    layer = linear(2, SHAPE)
    model, images = flattened(layer), random_images(20, SHAPE, low=0.3, high=0.7)
    batch = attack_batch_of(model, images)
    normal = layer.weight[0] - layer.weight[1]
    radius = ((images.flatten(1) @ normal).abs() / normal.abs().sum()).double()
    found = certify(kind(eps=0.2, halvings=12), model, batch, 2)
    assert (radius < 0.2).all()
    assert (found[:, 1] <= radius).all()
    assert (found[:, 1] > radius - 0.2 / 2**11).all()
    assert (found[:, 0] == batch.labels).all()


def test_pixels_outside_of_the_image_range_are_no_perturbation() -> None:
    # A black pixel can only become lighter: the radius is that of the box cut with [0, 1].
    layer = linear(2, (1, 1, 1))
    layer.weight.data = torch.tensor([[1.0], [-1.0]])
    layer.bias.data = torch.tensor([0.1, 0.0])
    batch = attack_batch_of(flattened(layer), torch.zeros(1, 1, 1, 1))
    assert certify(IBP(eps=0.5, halvings=0), flattened(layer), batch, 2)[0, :2].tolist() == [0.0, 0.5]


def test_crown_certifies_at_least_what_intervals_do() -> None:
    model, images = small(), random_images(12, SHAPE)
    batch = attack_batch_of(model, images)
    loose, tight = (certify(kind(eps=0.1), model, batch, 3) for kind in (IBP, CROWN))
    assert (tight[:, 1] >= loose[:, 1]).all()
    assert tight[:, 1].mean() > loose[:, 1].mean()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Sigmoid()),
            r"ibp: layer 'network\.1' \(Sigmoid\) cannot be bounded; it takes Conv2d",
        ),
        (nn.Sequential(nn.Sequential(nn.MaxPool2d(2))), r"layer 'network\.0\.0' \(MaxPool2d\)"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")),
            r"layer 'network\.0' \(Conv2d\)",
        ),
        (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)), r"\(BatchNorm2d\) cannot be bounded"),
    ],
)
def test_a_layer_that_cannot_be_bounded_is_named(model: nn.Module, words: str) -> None:
    with pytest.raises(AttackError, match=words):
        layers_of(list(unrolled(model)), "ibp")


class Doubled(nn.Sequential):
    """Looks like its layers, and is not."""

    def __call__(self, x: Tensor) -> Tensor:
        return 2.0 * super().__call__(x)


def test_a_network_that_does_more_than_its_layers_is_refused() -> None:
    model = Doubled(nn.Flatten(), linear(2, SHAPE))
    batch = attack_batch_of(model, random_images(2, SHAPE))
    with pytest.raises(AttackError, match="it does more than they say"):
        certify(IBP(), model, batch, 2)


def test_scaling_of_images_is_a_layer() -> None:
    scale = Scale(torch.tensor([2.0, -4.0]).view(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    (layer,) = layers_of([("normalisation", scale)], "test")
    assert layer is not None
    images = random_images(2, (2, 3, 3)).double()
    low, high = intervals.through(layer, (images - 0.1, images + 0.1))
    assert torch.allclose((high - low)[:, 0], torch.tensor(0.4, dtype=torch.float64))
    assert torch.allclose((high - low)[:, 1], torch.tensor(0.8, dtype=torch.float64))
