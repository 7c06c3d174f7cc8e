"""The device that ``--device`` means, and what it is called."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError
from clearsight.data.cores import cpu_model

if TYPE_CHECKING:
    from torch import memory_format, nn


DEVICE = re.compile(r"auto|cpu|mps|cuda(?::(\d{1,3}))?")
DEVICES = "auto, cpu, cuda, cuda:1 (the second GPU), mps"


def choose_device(name: str) -> str:
    """Return the device for torch: ``cpu``, ``cuda``, ``cuda:1`` (the second GPU) or ``mps`` (Apple's GPUs).

    ``auto`` is ``cuda`` where there is one, else ``cpu``: results on ``mps`` were never compared with theirs.

    Raises:
        ConfigError: another word, or a device that is not here.
    """
    import torch

    known = DEVICE.fullmatch(name)
    if known is None:
        raise ConfigError(f"unknown device '{name}'", where="--device", hint=f"known: {DEVICES}")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("there is no MPS device here", where="--device", hint="use auto or cpu")
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise ConfigError("there is no CUDA device here", where="--device", hint="use auto or cpu")
        if int(known[1] or 0) >= count:
            raise ConfigError(
                f"there is no CUDA device {known[1]} here",
                where="--device",
                hint=f"the last one is cuda:{count - 1}",
            )
    return name


def wait_for(device: str) -> None:
    """Return when the device has computed what it was given, as timings need."""
    import torch

    if device != "cpu":
        torch.accelerator.synchronize(device)


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
