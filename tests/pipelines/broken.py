"""Parts that fool attacks without saying so. A test registers the restorers as a user's package would."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clearsight.restore.base import RestorerSpec


class HardClamp(RestorerSpec):
    """A contrast stretch that saturates most pixels, where its gradient is zero."""

    kind: Literal["toy_clamp"] = "toy_clamp"
    purpose: ClassVar[str] = "toy"
    gain: float = 4.0

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return ((x - 0.5) * self.gain + 0.5).clamp(0, 1)


class NoGrad(RestorerSpec):
    """A denoiser that was written for inference, and says nothing of it."""

    kind: Literal["toy_no_grad"] = "toy_no_grad"
    purpose: ClassVar[str] = "toy"

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        with torch.no_grad():
            padded = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
            return 0.5 * x + 0.5 * nn.functional.avg_pool2d(padded, 3, stride=1)


class Killer(RestorerSpec):
    """The identity, whose gradient is there and is zero."""

    kind: Literal["toy_killer"] = "toy_killer"
    purpose: ClassVar[str] = "toy"

    def restore(self, x: Tensor, network: nn.Module | None) -> Tensor:
        return x.detach() + 0.0 * x


class Misled(nn.Module):
    """The brightest channel, spoilt in one way or another."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.draws = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        logits = 4.0 * x.mean((2, 3))
        if self.way == "probabilities":
            return (10.0 * logits).softmax(1)
        if self.way == "batchy":
            return logits - logits.mean(0, keepdim=True)
        if self.way == "noisy":
            return logits + 0.01 * torch.randn(logits.shape, generator=self.draws)
        if self.way == "falsified":
            return logits.detach() + 30.0 * (logits - logits.detach())
        if self.way == "half_hidden":
            return logits.detach() + 0.05 * x[:, :, ::2].mean((2, 3))
        if self.way == "alike":
            # What is hidden is orthogonal to what is shown: along the shown gradient nothing is missing.
            signs = torch.ones(x.shape[3]).index_fill(0, torch.arange(0, x.shape[3], 2), -1.0)
            return 4.0 * (x * signs).mean((2, 3)).detach() + 0.05 * logits
        return logits.detach()


def misled(way: str) -> nn.Module:
    return Misled(way)
