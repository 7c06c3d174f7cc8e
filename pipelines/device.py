"""The device that ``--device`` means, and what it is called."""

from __future__ import annotations

from data.contract.errors import ConfigError


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
