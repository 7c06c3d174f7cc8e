"""Fresh weights without the global generator of torch."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import TypeVar

import torch
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng

M = TypeVar("M", bound=nn.Module)


def fresh(build: Callable[[], M], rng: Rng | None = None) -> M:
    """Return the module that ``build`` makes, initialised by `initialise`.

    The module is built on the meta device, where the layers' own initialisation draws no random numbers.
    """
    with torch.device("meta"):
        module = build()
    # As ``to_empty`` does, whose ``empty_like`` imports sympy for a tensor of the meta device: half a second.
    module._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu"))  # type: ignore[no-untyped-call]
    initialise(module, rng or Rng(0).at("initial"))
    return module


def initialise(module: nn.Module, rng: Rng) -> None:
    """Set every parameter and buffer in place; tensor ``name`` draws from ``rng.at(name)`` alone.

    Convolutions: normal with variance 2 / (output channels x kernel area), which keeps the gradient's scale
    through ReLU (He et al. 2015). Transposed ones: the same with their input channels and the area over the
    squared stride. Linear layers: uniform in +-1 / sqrt(inputs). Batch normalisation: the identity on
    standardised values. A module with a method ``init_weights()`` may then change its own tensors and those
    of its layers (zeros at the end of a residual branch); for tensors without a rule it must set them.

    Raises:
        NotImplementedError: tensors in a layer of another type, without ``init_weights``.
    """
    with torch.no_grad():
        for name, layer in module.named_modules():
            own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
            if own and not _set(layer, rng.at(name)) and not hasattr(layer, "init_weights"):
                raise NotImplementedError(f"no rule for the tensors of {type(layer).__name__} ({name})")
        for layer in reversed(list(module.modules())):
            init_weights = getattr(layer, "init_weights", None)
            if init_weights is not None:
                init_weights()


def _set(layer: nn.Module, rng: Rng) -> bool:
    """Set the layer's own tensors; False where there is no rule for it."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        _normal(layer.weight, sqrt(2.0 / _fan(layer)), rng)
        if layer.bias is not None:
            layer.bias.zero_()
    elif isinstance(layer, nn.Linear):
        _uniform(layer.weight, 1.0 / sqrt(layer.in_features), rng.at("weight"))
        if layer.bias is not None:
            _uniform(layer.bias, 1.0 / sqrt(layer.in_features), rng.at("bias"))
    elif isinstance(layer, nn.BatchNorm2d):
        layer.reset_parameters()
    else:
        return False
    return True


def _fan(layer: nn.Conv2d | nn.ConvTranspose2d) -> int:
    """Return the fan that scales the initial weights: how many of them contribute to one value."""
    area = prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        return max(1, layer.in_channels * area // (layer.groups * prod(layer.stride)))
    return layer.out_channels * area // layer.groups


def _normal(tensor: Tensor, deviation: float, rng: Rng) -> None:
    tensor.copy_(torch.randn(tensor.shape, generator=rng.torch()) * deviation)


def _uniform(tensor: Tensor, bound: float, rng: Rng) -> None:
    tensor.copy_((torch.rand(tensor.shape, generator=rng.torch()) * 2.0 - 1.0) * bound)
