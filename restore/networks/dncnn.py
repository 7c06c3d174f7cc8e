"""DnCNN (Zhang et al. 2017): a chain of 3x3 convolutions that predicts the noise."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn


class DnCNN(nn.Module):
    """``x - f(x)``, where f is ``depth`` convolutions with ReLU in between.

    Args:
        channels: of the images.
        depth: number of convolutions.
        width: channels of the hidden layers.
        norm: batch normalisation after all convolutions but the first and the last.
    """

    def __init__(self, channels: int, depth: int, width: int, *, norm: bool) -> None:
        """Make the layers."""
        super().__init__()
        sizes = (channels, *(width,) * (depth - 1), channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth - 2)) if norm else None

    def init_weights(self) -> None:
        """Start as the identity: no noise is seen."""
        nn.init.zeros_(cast(nn.Conv2d, self.convs[-1]).weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, h, w) for the same, of any size."""
        y = torch.relu(self.convs[0](x))
        for index, conv in enumerate(self.convs[1:-1]):
            y = conv(y)
            y = torch.relu(y if self.norms is None else self.norms[index](y))
        noise: Tensor = self.convs[-1](y)
        return x - noise


@torch.no_grad()
def folded(state: Mapping[str, Tensor], epsilon: float = 1e-5) -> dict[str, Tensor]:
    """Return the state dict of the equal network without batch normalisation (that of eval mode).

    Args:
        state: state dict of a `DnCNN` with ``norm``; one without is returned as it is.
        epsilon: what the normalisation adds to the variance.
    """
    out = {name: value for name, value in state.items() if name.startswith("convs.")}
    for name, variance in state.items():
        if not name.endswith(".running_var"):
            continue
        norm = name.removesuffix(".running_var")
        conv = f"convs.{int(norm.removeprefix('norms.')) + 1}"
        gain = state[f"{norm}.weight"] / (variance + epsilon).sqrt()
        out[f"{conv}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        shift = state[f"{conv}.bias"] - state[f"{norm}.running_mean"]
        out[f"{conv}.bias"] = shift * gain + state[f"{norm}.bias"]
    return out


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors (``model.0.weight``, ``model.2.weight``, ..., no normalisation) to ours.

    Raises:
        KeyError: a name is not one of theirs.
    """
    out = {}
    for name, value in state.items():
        prefix, _, rest = name.partition(".")
        place, _, which = rest.partition(".")
        if prefix != "model" or not place.isdigit() or int(place) % 2 or which not in ("weight", "bias"):
            raise KeyError(f"'{name}' is not a tensor of a published DnCNN without batch normalisation")
        out[f"convs.{int(place) // 2}.{which}"] = value
    return out
