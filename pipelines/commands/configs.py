"""Reads a config of one task; a config of another task says which command runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data.contract.errors import ConfigError
from pipelines.yamlio import Document, load

if TYPE_CHECKING:
    from pipelines.config import Evaluate

COMMANDS = {"evaluate": "run", "train": "train"}


def read_task(path: Path, task: str) -> Document:
    """Return the document of a config whose ``task`` is the given one.

    Raises:
        ConfigError: it cannot be read, or is of another task.
    """
    document = load(path)
    found = document.value.get("task") if isinstance(document.value, dict) else None
    if found in COMMANDS and found != task:
        raise ConfigError(
            f"this is a config of 'task: {found}'",
            where=document.where(("task",)),
            hint=f"use: clearsight {COMMANDS[found]} {path}",
        )
    return document


def read_evaluate(path: Path) -> tuple[Document, Evaluate]:
    """Return a config of ``task: evaluate`` with its document."""
    from pipelines.config import Evaluate

    document = read_task(path, "evaluate")
    return document, document.parse(Evaluate)
