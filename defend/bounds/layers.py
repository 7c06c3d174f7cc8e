"""The layers of a sequential network as affine maps and ReLUs: what interval bounds and CROWN go through."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError

Named = Sequence[tuple[str, nn.Module]]
"""The layers of a network in the order in which they compute, with the names that they have there."""
TAKEN = "Conv2d, Linear, ReLU, AvgPool2d, AdaptiveAvgPool2d, Flatten and BatchNorm in eval mode"
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""Layers that do nothing in eval mode."""
ABSOLUTE = (nn.Conv2d, nn.Linear)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
"""Layers whose weights are not negative, and that add nothing."""
ROUNDING = 1e-3
"""Relative difference of logits up to which the layers count as the network: float64 against float32."""


class Scale(nn.Module):
    """A factor and a shift for each channel: normalisation of images, batch normalisation in eval mode."""

    factor: Tensor
    shift: Tensor

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        """Keep both, in shapes that broadcast to a batch."""
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled batch."""
        return x * self.factor + self.shift


@dataclass(frozen=True)
class Affine:
    """A layer that maps ``x`` to ``M x + b``; ``spread`` maps it to ``|M| x``, which is how a box grows."""

    forward: Callable[[Tensor], Tensor]
    spread: Callable[[Tensor], Tensor]

    def backward(self, rows: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Return functionals (m, *out) of the output as such of the input (m, *shape), and constants (m,).

        The product with the transposed map is a gradient, whatever the layer.
        """
        zero = torch.zeros(len(rows), *shape, dtype=rows.dtype, device=rows.device, requires_grad=True)
        with torch.enable_grad():
            out = self.forward(zero)
        (moved,) = torch.autograd.grad(out, zero, rows)
        return moved, (rows * out.detach()).flatten(1).sum(1)


Layer = Affine | None
"""None is a ReLU."""


def unrolled(module: nn.Module, name: str = "network") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of nested `nn.Sequential` modules in order."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for part, child in module.named_children():
            yield from unrolled(child, f"{name}.{part}")
    else:
        yield name, module


def layers_of(named: Named, who: str) -> list[Layer]:
    """Return the layers in float64, in eval mode.

    Args:
        named: from `unrolled`.
        who: kind of the caller, for messages.

    Raises:
        AttackError: a layer that is neither affine nor a ReLU; the message names it.
    """
    return [_layer(name, module, who) for name, module in named if not isinstance(module, NOTHING)]


def _layer(name: str, module: nn.Module, who: str) -> Layer:
    if isinstance(module, nn.ReLU):
        return None
    exact = copy.deepcopy(module).double().eval().requires_grad_(requires_grad=False)
    if isinstance(exact, (nn.BatchNorm1d, nn.BatchNorm2d)) and exact.running_var is not None:
        exact = _batch_norm(exact)
    if isinstance(exact, Scale):
        grown = Scale(exact.factor.abs(), torch.zeros_like(exact.shift))
        return Affine(exact, grown)
    if isinstance(exact, AVERAGES):
        return Affine(exact, exact)
    if isinstance(exact, ABSOLUTE) and getattr(exact, "padding_mode", "zeros") == "zeros":
        weights = copy.deepcopy(exact)
        weights.weight.abs_()
        weights.bias = None
        return Affine(exact, weights)
    raise AttackError(
        f"layer '{name}' ({type(module).__name__}) cannot be bounded", where=who, hint=f"it takes {TAKEN}"
    )


def _batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Scale:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise AssertionError("only layers with running statistics come here")
    factor = (variance + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight)
    shift = (0.0 if norm.bias is None else norm.bias) - mean * factor
    view = (1, -1, 1, 1) if isinstance(norm, nn.BatchNorm2d) else (1, -1)
    return Scale(factor.view(view), shift.view(view))


def computed(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Return what the layers make of a batch in float64."""
    for layer in layers:
        x = x.clamp_min(0.0) if layer is None else layer.forward(x)
    return x


def refuse_other(layers: Sequence[Layer], images: Tensor, logits: Tensor, who: str) -> None:
    """Refuse layers that do not compute what the system computes.

    Raises:
        AttackError: the network does more than its layers say, in hooks or around them.
    """
    found = computed(layers, images.double())
    far = found.shape != logits.shape or (found - logits).abs().max() > ROUNDING * (1 + logits.abs().max())
    if far:
        raise AttackError(
            "the layers of the network do not give its logits: it does more than they say", where=who
        )
