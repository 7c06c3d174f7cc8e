"""The device that ``--device`` means."""

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
