"""A network that lowers the entropy of its own answers while it works: TENT, with EATA's guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cosine_similarity, cross_entropy

from clearsight.defend.networks.blended_norm import BlendedNorm

Weights = Mapping[str, Tensor]
MEMORY = 0.9
"""Weight of the past in EATA's moving average of probabilities (the authors' constant)."""


@dataclass(frozen=True)
class Settings:
    """How a network adapts.

    Attributes:
        rate: learning rate of SGD.
        momentum: of SGD.
        step: images of one step.
        entropy: share of ln(classes) above which the entropy of an answer is too high to learn from; None
            learns from all, unweighted.
        redundancy: absolute cosine to the moving average from which on an answer is redundant; None learns
            from all. Without effect where ``entropy`` is None.
        anchor: weight of the Fisher regulariser.
    """

    rate: float
    momentum: float
    step: int
    entropy: float | None
    redundancy: float | None
    anchor: float


class EntropySteps(nn.Module):
    """A classifier whose normalisation takes entropy steps along a batch, and forgets them at its end.

    The batch is a stream: its images come in steps, each answered before it is learned from (Wang et al.
    2021, arXiv:2006.10726). EATA (Niu et al. 2022, arXiv:2204.02610) learns only from answers that are sure
    and new, weighted by how sure they are, and holds weights that matter for clean images where they were.

    Args:
        network: classifier in eval mode, whose `BlendedNorm` layers adapt.
        settings: how.
        importance: name of a weight -> its Fisher information; empty for no regulariser.
    """

    def __init__(self, network: nn.Module, settings: Settings, importance: Weights | None = None) -> None:
        """Take over the network."""
        super().__init__()
        self.network, self.settings = network, settings
        self.importance = dict(importance or {})

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, classes), without a gradient: the steps between the images have none."""
        # Measurements run without autograd; the steps need it.
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self._stream(x.detach().clone()).detach()

    def _stream(self, images: Tensor) -> Tensor:
        start = affine_weights(self.network)
        weights = {name: value.clone().requires_grad_() for name, value in start.items()}
        optimiser = torch.optim.SGD(weights.values(), lr=self.settings.rate, momentum=self.settings.momentum)
        average: Tensor | None = None
        answers = []
        for part in torch.split(images, self.settings.step):
            logits = functional_call(self.network, weights, (part,))
            answers.append(logits.detach())
            loss, average = self._loss(logits, average)
            if loss is None:
                continue
            for name, fisher in self.importance.items():
                away = (weights[name] - start[name]) ** 2
                loss = loss + self.settings.anchor * (fisher.to(away) * away).sum()
            for weight, gradient in zip(
                weights.values(), torch.autograd.grad(loss, list(weights.values())), strict=True
            ):
                weight.grad = gradient
            optimiser.step()
        return torch.cat(answers)

    def _loss(self, logits: Tensor, average: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return the entropy of the answers that teach, None where none does, and the new moving average."""
        entropy = entropy_of(logits)
        if self.settings.entropy is None:
            return entropy.mean(), None
        margin = self.settings.entropy * log(logits.shape[1])
        teaches = entropy.detach() < margin
        chances = logits.detach().softmax(1)
        if self.settings.redundancy is not None and average is not None:
            alike = cosine_similarity(chances, average[None], dim=1)
            teaches &= alike.abs() < self.settings.redundancy
        if not teaches.any():
            return None, average
        mean = chances[teaches].mean(0)
        average = mean if average is None else MEMORY * average + (1 - MEMORY) * mean
        weight = (margin - entropy.detach()).exp()
        return (weight * entropy)[teaches].mean(), average


def entropy_of(logits: Tensor) -> Tensor:
    """Return the entropy (nats) of each prediction, (n,) of logits (n, classes)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def affine_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of the scales and shifts of a network's `BlendedNorm` layers, by name."""
    return {
        f"{place}.norm.{name}": getattr(layer.norm, name).detach().clone()
        for place, layer in network.named_modules()
        if isinstance(layer, BlendedNorm) and layer.norm.affine
        for name in ("weight", "bias")
    }


def fisher_information(network: nn.Module, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return how much each scale and shift matters for images like those of training, by name.

    The squared gradient of the cross-entropy to the network's own answers, the mean over batches, as EATA
    takes it: no labels are needed.

    Args:
        network: classifier with `BlendedNorm` layers.
        batches: images (n, c, h, w) each.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        weights = {name: value.requires_grad_() for name, value in affine_weights(network).items()}
        total = {name: torch.zeros_like(value) for name, value in weights.items()}
        for batch in batches:
            logits = functional_call(network, weights, (batch,))
            loss = cross_entropy(logits, logits.detach().argmax(1))
            gradients = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                total[name] += gradient.detach() ** 2 / len(batches)
        return {name: value.detach() for name, value in total.items()}
