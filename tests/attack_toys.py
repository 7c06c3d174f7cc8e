"""A target over any torch module, linear classifiers, and images of tests: attacks without pipelines."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.defend.bounds.layers import unrolled
from clearsight.defend.target import AttackBatch, GradientOutput, Loss


class ToyTarget:
    """A module from images to logits, as attacks see it.

    Attributes:
        model: images (m, c, h, w) to logits (m, classes).
        queries: (n,), forward passes of each row.
        backwards: (n,), gradients of each row.
        members: what compositions reported.
        kept: what they remembered: step name to tensors.
    """

    def __init__(self, model: nn.Module, classes: int, rows: int, *, gradients: bool = True) -> None:
        """Set the counters of ``rows`` images to zero; without ``gradients`` asking for one is an error."""
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.classes = classes
        self.stochastic = False
        self.gradients = gradients
        self.queries = torch.zeros(rows, dtype=torch.int64)
        self.backwards = torch.zeros(rows, dtype=torch.int64)
        self.members: list[dict[str, int | str]] = []
        self.kept: dict[str, dict[str, Tensor]] = {}

    @property
    def totals(self) -> tuple[int, int]:
        return int(self.queries.sum()), int(self.backwards.sum())

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        assert len(x) == len(rows) > 0
        self.queries[rows] += 1
        with torch.no_grad():
            found: Tensor = self.model(x)
        return found

    def gradient(self, x: Tensor, rows: Tensor, loss: Loss) -> GradientOutput:
        if not self.gradients:
            raise AttackError("shows no gradients", where="toy")
        assert len(x) == len(rows) > 0
        self.queries[rows] += 1
        leaf = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            logits = self.model(leaf)
            losses = loss(logits)
        columns = losses[:, None] if losses.dim() == 1 else losses
        assert len(columns) == len(x)
        self.backwards[rows] += columns.shape[1]
        found = [torch.autograd.grad(each.sum(), leaf, retain_graph=True)[0] for each in columns.unbind(1)]
        gradient = found[0] if losses.dim() == 1 else torch.stack(found, dim=1)
        return GradientOutput(logits.detach(), losses.detach(), gradient)

    def features(self, x: Tensor, rows: Tensor, compare: Callable[[Tensor], Tensor]) -> GradientOutput:
        """Take the logits for features."""
        return self.gradient(x, rows, compare)

    def screened(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> GradientOutput:
        """Take the brightness for what a detector says."""
        bright = x.detach().clone().requires_grad_(True)
        plain = self.gradient(x, rows, lambda logits: loss(logits, x.flatten(1).mean(1)))
        with torch.enable_grad():
            said = loss(plain.logits, bright.flatten(1).mean(1)).sum()
        (further,) = torch.autograd.grad(said, bright)
        return GradientOutput(plain.logits, plain.losses, plain.gradient + further)

    def layers(self) -> list[tuple[str, nn.Module]]:
        """Return the layers of a sequential model, that `Precise` may lie around."""
        model: nn.Module = self.model
        while isinstance(model, Precise):
            model = model.model
        return list(unrolled(model))

    def recall(self, step: str) -> dict[str, Tensor] | None:
        return self.kept.get(step)

    def remember(self, step: str, **tensors: Tensor) -> None:
        self.kept = {step: tensors}

    def report(self, member: str, *, tried: int, broken: int, since: tuple[int, int]) -> None:
        queries, backwards = self.totals
        cost = {"queries": queries - since[0], "backwards": backwards - since[1]}
        self.members.append({"member": member, "tried": tried, "broken": broken, **cost})


def linear(classes: int, shape: Sequence[int], seed: int = 0) -> nn.Linear:
    """Return a classifier with independent normal weights, no biases, for flat images of ``shape``."""
    count = torch.Size(shape).numel()
    # Made without drawing from the global generator.
    layer = skip_init(nn.Linear, count, classes)
    layer.weight.data = torch.randn(classes, count, generator=Rng(seed).at("weights").torch())
    layer.bias.data.zero_()
    return layer


def flattened(layer: nn.Module) -> nn.Module:
    """Return the classifier for images (n, c, h, w) that has this layer for flat ones (n, d)."""
    return nn.Sequential(nn.Flatten(), layer)


class Precise(nn.Module):
    """A classifier that computes in float64, so that its float32 logits do not depend on the batch size."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x.double()).float()
        return out


def attack_batch_of(model: nn.Module, images: Tensor, names: str = "image") -> AttackBatch:
    """Return the images, labelled with what the model predicts, so that all are classified right."""
    with torch.no_grad():
        labels = model(images).argmax(1)
    ids = tuple(f"{names}-{i}" for i in range(len(images)))
    return AttackBatch(images, labels, ids, torch.arange(len(images)))


def random_images(
    n: int, shape: Sequence[int], *, low: float = 0.0, high: float = 1.0, seed: int = 0
) -> Tensor:
    """Return images (n, *shape) of uniform noise between two levels."""
    noise = torch.rand((n, *shape), generator=Rng(seed).at("images").torch())
    return low + (high - low) * noise
