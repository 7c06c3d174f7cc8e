"""The device that ``--device`` means, and what it is called."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError
from clearsight.data.cores import cpu_model

if TYPE_CHECKING:
    from torch import memory_format, nn


def choose_device(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: another word, or CUDA where there is none.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"unknown device '{name}'", where="--device", hint="known: auto, cpu, cuda")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ConfigError("there is no CUDA device here", where="--device", hint="use auto or cpu")
    return "cuda" if found and name != "cpu" else "cpu"


def machine(device: str) -> str:
    """Return the kind of machine, in words."""
    import platform

    import torch

    if device.startswith("cuda"):
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


@lru_cache
def kind_of_machine(device: str) -> str:
    """Return what float results may depend on: the GPU, or the CPU's model and vector extension, in words."""
    import torch

    if device.startswith("cuda"):
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU {cpu_model()}, {torch.backends.cpu.get_cpu_capability()}"


def layout(model: nn.Module, device: str) -> memory_format:
    """Return the memory format for training a network: channels last where that is safe.

    On a CPU it makes a training step of the small residual classifiers a fifth faster, of the
    denoisers a twentieth to a tenth.
    """
    import torch
    from torch import nn

    from clearsight.defend.networks.blocks import Shortcut

    # torch 2.13 corrupts the heap of a CPU in the backward pass of such convolutions. No number of channels
    # is known to be safe; only `Shortcut` computes them another way.
    unsafe = any(
        isinstance(each, nn.Conv2d)
        and not isinstance(each, Shortcut)
        and each.kernel_size == (1, 1)
        and each.stride != (1, 1)
        for each in model.modules()
    )
    plain = unsafe and not device.startswith("cuda")
    return torch.contiguous_format if plain else torch.channels_last
