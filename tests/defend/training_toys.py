"""A small network with a diary, batches, and attacks written out image by image: references for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh
from clearsight.defend.search.training_attack import TrainingAttack

CLASSES, SIDE = 5, 6
RATE = 0.1


class Tiny(nn.Module):
    """A convolution with batch normalisation and a linear layer.

    Attributes:
        forwards: of each pass so far, whether it was in train mode, and its images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * SIDE * SIDE, CLASSES)
        self.forwards: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.forwards.append((self.training, x.detach().clone()))
        out: Tensor = self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))
        return out

    @property
    def modes(self) -> list[bool]:
        """Return the modes of the passes so far."""
        return [mode for mode, _ in self.forwards]

    @property
    def seen(self) -> list[Tensor]:
        """Return the images of the passes so far."""
        return [images for _, images in self.forwards]


def tiny() -> Tiny:
    """Return the same network every time, in train mode, in double precision.

    Double precision keeps the sign of a gradient, and with it a step, from hanging on the last bit.
    """
    made = fresh(Tiny, Rng(3)).double()
    with torch.no_grad():
        # Statistics that differ from those of any batch, so that the two modes give different logits.
        made.norm.get_buffer("running_mean").add_(0.3)
        made.head.weight.mul_(3.0)
    return made.train()


def batch(n: int = 12, share: float = 1.0, seed: int = 1) -> TrainBatch:
    """Return images of which the network of `tiny` classifies three quarters as they are labelled."""
    generator = Rng(seed).at("images").torch()
    images = torch.rand(n, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    # Some values at the ends of the range, where clamping matters.
    images = ((images - 0.5) * 1.3 + 0.5).clamp(0, 1)
    model = tiny().eval()
    with torch.no_grad():
        labels = model(images).argmax(1)
    labels = (labels + (torch.arange(n) % 4 == 3)) % CLASSES
    return TrainBatch(images, labels, tuple(map(str, range(n))), share)


def unlabelled(one: TrainBatch) -> TrainBatch:
    """Return the batch without labels."""
    return replace(one, labels=None)


def labels_of(one: TrainBatch) -> Tensor:
    """Return the labels."""
    assert one.labels is not None
    return one.labels


def losses(method: Method, model: nn.Module, one: TrainBatch, rng: Rng) -> list[Tensor]:
    """Return what one step yields, without optimising."""
    found = list(method.step({MODEL: model}, one, rng))
    assert {name for name, _ in found} == {MODEL}
    return [loss for _, loss in found]


def optimised(
    method: Method, model: nn.Module, one: TrainBatch, rng: Rng, rate: float = RATE
) -> list[Tensor]:
    """Do one step as the loop does it, with plain SGD; return the losses."""
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    found = []
    for _, loss in method.step({MODEL: model}, one, rng):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        found.append(loss.detach())
    return found


def start_of(attack: TrainingAttack, one: TrainBatch, rng: Rng) -> Tensor:
    """Return the random start of an attack: the same attack without its steps."""
    return replace(attack, steps=0).applied(tiny(), one.images, labels_of(one), rng)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Hold a model in eval mode, then put it back into train mode."""
    model.eval()
    yield
    model.train()


@dataclass
class Walk:
    """Where the images of `walk` ended.

    Attributes:
        images: (n, c, h, w).
        kappa: of each, looks at which it was classified correctly.
        looks: of each, how often the network looked at it.
    """

    images: Tensor
    kappa: list[int]
    looks: list[int]


def walk(
    model: nn.Module,
    one: TrainBatch,
    start: Tensor,
    *,
    eps: float,
    size: float,
    steps: int = 10,
    tau: int | None = None,
    divergence: bool = False,
    noises: list[Tensor] | None = None,
) -> Walk:
    """Attack one image after the other as the papers of FAT (algorithm 1), GAIRAT and TRADES say it."""
    made = Walk(start.clone(), [], [])
    with evaluated(model):
        for row, (image, label) in enumerate(zip(one.images, labels_of(one), strict=True)):
            x, left, kappa, looks = start[row], steps if tau is None else tau, 0, 0
            natural = model(image[None]).detach().softmax(1)
            for k in range(steps):
                point = x[None].clone().requires_grad_()
                logits, looks = model(point), looks + 1
                wrong = int(logits.argmax()) != int(label)
                if wrong and left == 0:
                    break
                left, kappa = (left - 1, kappa) if wrong else (left, kappa + 1)
                loss = cross_entropy(logits, label[None])
                if divergence:
                    loss = (natural * (natural.log() - logits.log_softmax(1))).sum()
                (slope,) = torch.autograd.grad(loss, point)
                x = x + size * slope[0].sign()
                if noises:
                    x = x + noises[k][row]
                x = torch.minimum(torch.maximum(x, image - eps), image + eps).clamp(0.0, 1.0)
            made.images[row] = x
            made.kappa.append(kappa)
            made.looks.append(looks)
    return made


def assert_same_weights(ours: nn.Module, theirs: nn.Module, atol: float = 1e-6) -> None:
    """Fail unless all parameters and statistics are equal."""
    wanted: dict[str, Any] = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert torch.allclose(value, wanted[name], atol=atol, rtol=0.0), name
