"""Checkpoints: one safetensors file with a JSON head, written whole or not at all, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from clearsight.data.contract.errors import RunError
from clearsight.data.home import replace_file

HEAD = "clearsight"


@dataclass
class Checkpoint:
    """State of a training run between two steps.

    Attributes:
        tensors: group ("model", "average", "best", "optimiser.<network>") -> name -> tensor.
        facts: JSON-ready: step, elapsed seconds, best validation score and the like.
    """

    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a kill at any moment leaves the old file or the new one."""
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, values in checkpoint.tensors.items()
        for name, value in values.items()
    }
    replace_file(path, to_bytes(flat, metadata={HEAD: json.dumps(checkpoint.facts)}))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        RunError: the file is damaged or is no checkpoint.
    """
    found = Checkpoint()
    try:
        with safe_open(path, framework="pt") as file:
            found.facts = json.loads((file.metadata() or {})[HEAD])
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                group, _, name = key.partition("/")
                found.tensors.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RunError(
            f"is not a readable checkpoint: {error}", where=str(path), hint="delete it to start afresh"
        ) from None
    return found


def flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's memory as ``<parameter number>/<name>`` -> tensor."""
    flat: dict[str, Tensor] = {}
    for number, memory in optimiser.state_dict()["state"].items():
        for name, value in memory.items():
            if value is not None:
                flat[f"{number}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def restore(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Give an optimiser the memory that `flatten` returned."""
    memory: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, _, name = key.partition("/")
        memory.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": memory, "param_groups": optimiser.state_dict()["param_groups"]})
