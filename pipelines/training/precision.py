"""The number format of training steps: configured, or chosen by timing both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["fp32", "bf16"]
ROUNDS = 3
"""Steps that are timed in each format; the fastest counts, which other work on the machine disturbs least."""
HOPELESS = 2.0
"""Where bf16's fastest step takes this many times as long as fp32's, it is not timed further: a CPU without
units for it computes it in software."""


def arithmetic(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Return the context that a step is computed in.

    With ``bf16`` convolutions and matrix products are computed in bfloat16 (autocast). Weights, gradients,
    optimiser states, running statistics and the steps of an attack stay in fp32, and so do losses, given
    `full_outputs`.
    """
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)


def full_outputs(networks: Mapping[str, nn.Module]) -> None:
    """Let these networks return fp32 whatever they compute in, so that every loss is computed in fp32.

    Within a part the hook is on its ``network``: a restorer's training calls it without the part's own
    forward, and where the part is compiled the cast is compiled with it.
    """
    for whole in networks.values():
        inner = [module for name, module in whole.named_modules() if name.split(".")[-1] == "network"]
        for module in inner or [whole]:
            module.register_forward_hook(_as_fp32)


def _as_fp32(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    if isinstance(output, Tensor) and output.dtype is torch.bfloat16:
        return output.float()
    return output


def faster(step: Callable[[Precision], None]) -> tuple[Precision, dict[Precision, float]]:
    """Time steps in both formats and return the faster one, with the seconds of the fastest step in each.

    Args:
        step: does one step in a format, from the same state each time, and returns when it is done.
    """
    told: dict[Precision, float] = {}
    for turn in range(ROUNDS + 1):
        for precision in ("fp32", "bf16"):
            if turn > 1 and told["bf16"] > HOPELESS * told["fp32"]:
                return "fp32", told
            start = perf_counter()
            step(precision)
            seconds = perf_counter() - start
            # The first step builds kernels and buffers.
            if turn:
                told[precision] = min(seconds, told.get(precision, seconds))
    return min(told, key=lambda each: told[each]), told
