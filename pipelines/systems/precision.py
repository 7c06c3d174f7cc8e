"""The number format that networks compute in: fp32, or bf16 within (autocast), with fp32 around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "bf16"]


def arithmetic(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Return the context in which networks compute.

    With ``bf16`` convolutions and matrix products are computed in bfloat16 (autocast). Weights, gradients,
    optimiser states, running statistics and the steps of an attack stay in fp32, and so do losses and
    figures, given `full_outputs`.
    """
    if precision == "fp32":
        return nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def full_outputs(networks: Iterable[nn.Module]) -> None:
    """Let these networks return fp32 whatever they compute in, so that all that follows is in fp32.

    Within a part the hook is on its ``network``: a restorer's training calls it without the part's own
    forward, and where the part is compiled the cast is compiled with it.
    """
    for whole in networks:
        for module in [*_inner(whole)] or [whole]:
            module.register_forward_hook(lambda _module, _inputs, output: _as_fp32(output))


def compute_in(whole: nn.Module, precision: Precision, device: str) -> None:
    """Let the networks of parts compute in this format, and all else, filters and fusions, in fp32.

    Args:
        whole: a system. Its networks return fp32, so that images and logits between parts are fp32.
        precision: of the networks.
        device: that they compute on.
    """
    if precision == "fp32":
        return
    for module in _inner(whole):
        module.forward = _cast(module.forward, precision, device)


def _cast(forward: Callable[..., Any], precision: Precision, device: str) -> Callable[..., Any]:
    def cast(*inputs: Any, **named: Any) -> Any:
        with arithmetic(precision, device):
            return _as_fp32(forward(*inputs, **named))

    return cast


def _inner(whole: nn.Module) -> Iterator[nn.Module]:
    """Yield the networks of the parts in a module."""
    return (module for name, module in whole.named_modules() if name.split(".")[-1] == "network")


def _as_fp32(output: Any) -> Any:
    import torch

    if isinstance(output, torch.Tensor) and output.dtype is torch.bfloat16:
        return output.float()
    return output
