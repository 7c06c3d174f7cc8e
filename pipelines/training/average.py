"""Averages of weights and buffers over the steps of a training run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Average of a module's state over the steps t = 1, 2, ... that `update` is given.

    With a decay it is exponential, ``a <- d a + (1 - d) w``; the decay grows as
    ``min(decay, (1 + t) / (10 + t))``, so that a short run soon forgets the initial weights. Without
    one it is the plain mean of all states given, ``a <- a + (w - a) / t`` (stochastic weight averaging,
    Izmailov et al. 2018). Integers (counters) are copied.

    The running statistics of batch normalisation are averaged like the weights. The paper recomputes them
    instead, by a pass over the training data with the averaged weights; here every check would need that pass
    (under adversarial training, with its attack). The averaged statistics are those of neighbouring
    weights on the training images.

    `torch.optim.swa_utils.AveragedModel` would hold a second module, has no decay that grows with the steps,
    and starts at the first update, not at the initial weights: the figures of trained weights would change.
    """

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        """Start at the module's state."""
        self.decay, self.steps = decay, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's state."""
        self.steps += 1
        weight = 1.0 / self.steps
        if self.decay is not None:
            weight = 1.0 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, weight)
            else:
                self.state[name].copy_(value)

    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Continue from a saved average."""
        for name, value in state.items():
            self.state[name].copy_(value)
        self.steps = steps
