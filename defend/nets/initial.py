"""Fresh weights without the global generator of torch."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import TypeVar

import torch
from torch import Tensor, nn

from data.contract.rng import Rng

M = TypeVar("M", bound=nn.Module)


def fresh(build: Callable[[], M], rng: Rng | None = None) -> M:
    """Return the module that ``build`` makes, initialised by `initialise`.

    The module is built on the meta device, where the layers' own initialisation draws no random numbers.
    """
    with torch.device("meta"):
        module = build()
    module.to_empty(device="cpu")
    initialise(module, rng or Rng(0).at("initial"))
    return module


def initialise(module: nn.Module, rng: Rng) -> None:
    """Set every parameter and buffer in place; tensor ``name`` draws from ``rng.at(name)`` alone.

    Convolutions: normal with variance 2 / (output channels x kernel area), which keeps the gradient's scale
    through ReLU (He et al. 2015). Linear layers: uniform in +-1 / sqrt(inputs). Batch normalisation: the
    identity on standardised values.

    Raises:
        NotImplementedError: the module has tensors in a layer of another type.
    """
    with torch.no_grad():
        for name, layer in module.named_modules():
            own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.out_channels * prod(layer.kernel_size) // layer.groups
                _normal(layer.weight, sqrt(2.0 / fan_out), rng.at(name))
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.Linear):
                _uniform(layer.weight, 1.0 / sqrt(layer.in_features), rng.at(name, "weight"))
                if layer.bias is not None:
                    _uniform(layer.bias, 1.0 / sqrt(layer.in_features), rng.at(name, "bias"))
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
            elif own:
                raise NotImplementedError(f"no rule for the tensors of {type(layer).__name__} ({name})")


def _normal(tensor: Tensor, deviation: float, rng: Rng) -> None:
    tensor.copy_(torch.randn(tensor.shape, generator=rng.torch()) * deviation)


def _uniform(tensor: Tensor, bound: float, rng: Rng) -> None:
    tensor.copy_((torch.rand(tensor.shape, generator=rng.torch()) * 2.0 - 1.0) * bound)
