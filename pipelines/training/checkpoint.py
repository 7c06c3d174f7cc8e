"""Checkpoints: a checksum, then a safetensors file with a JSON head; written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from clearsight.data.contract.errors import RunError
from clearsight.data.home import replace_file
from clearsight.data.seals import unwrapped, wrapped

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
    content = to_bytes(flat, metadata={HEAD: json.dumps(checkpoint.facts, allow_nan=False)})
    replace_file(path, wrapped(content, path.name))


def stored(path: Path) -> bytes | None:
    """Return the bytes of a checkpoint file, None where there is none.

    Raises:
        RunError: the file cannot be read.
    """
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        RunError: the file is missing, cannot be read, is damaged, or was written by an older version.
    """
    written = stored(path)
    if written is None:
        raise _refused(path, "there is no such file")
    return parsed(written, path)


def parsed(written: bytes, path: Path) -> Checkpoint:
    """Return a checkpoint from the bytes of its file.

    Args:
        written: the bytes.
        path: of the file, for messages.

    Raises:
        RunError: it is damaged, or was written by an older version.
    """
    content = unwrapped(written, path.name)
    if content is None:
        raise _refused(path, "it is damaged, or was written by an older version")
    found = Checkpoint(facts=_facts(content))
    for key, tensor in from_bytes(content).items():
        group, _, name = key.partition("/")
        found.tensors.setdefault(group, {})[name] = tensor
    return found


def _facts(content: bytes) -> dict[str, Any]:
    """Return the JSON head of a safetensors file, which begins with the length of its header."""
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEAD])
    return facts if isinstance(facts, dict) else {}


def _refused(path: Path, reason: str) -> RunError:
    hint = "delete it to start afresh"
    return RunError(f"is not a readable checkpoint: {reason}", where=str(path), hint=hint)


def flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as ``<parameter number>/<name>`` -> tensor."""
    flat: dict[str, Tensor] = {}
    for number, memory in optimiser.state_dict()["state"].items():
        for name, value in memory.items():
            if value is not None:
                flat[f"{number}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def restore(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Load the state that `flatten` returned into an optimiser."""
    memory: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, _, name = key.partition("/")
        memory.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": memory, "param_groups": optimiser.state_dict()["param_groups"]})
