"""Exponential moving average of weights and buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Moving average of a module's state: ``a <- d a + (1 - d) w`` after every step.

    The decay grows as ``min(decay, (1 + t) / (10 + t))`` over the steps t = 1, 2, ..., so that the fresh
    weights are soon forgotten in a short run. Integers (counters) are copied.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start at the module's state."""
        self.decay, self.steps = decay, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's state."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1.0 - decay)
            else:
                self.state[name].copy_(value)

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Go on from a saved average."""
        for name, value in state.items():
            self.state[name].copy_(value)
        self.steps = steps
