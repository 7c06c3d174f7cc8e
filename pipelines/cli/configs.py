"""Reads a config of one task, by path or by the name of a shipped recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.pipelines.cli.overrides import overridden
from clearsight.pipelines.config.yaml_reader import Document, load

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
COMMANDS = {"evaluate": "run", "train": "train"}


def read_task(path: Path, task: str, changes: Iterable[str] = ()) -> Document:
    """Return the document of a config whose ``task`` is the given one.

    Args:
        path: a file; or the bare name of a shipped recipe, such as ``quickstart``.
        task: ``evaluate`` or ``train``.
        changes: values given on the command line, ``place=value`` each.

    Raises:
        ConfigError: it cannot be read, or is of another task; the message says which command runs it.
    """
    document = load(_found(path, task))
    found = document.value.get("task") if isinstance(document.value, dict) else None
    if found in COMMANDS and found != task:
        raise ConfigError(
            f"this is a config of 'task: {found}'",
            where=document.where(("task",)),
            hint=f"use: clearsight {COMMANDS[found]} {path}",
        )
    return overridden(document, changes)


def shipped(path: Path) -> Path:
    """Return the file that a path or the bare name of a recipe of any task means."""
    if (RECIPES / "train" / f"{path.name}.yaml").exists() and not path.exists() and not path.suffix:
        return _found(path, "train")
    return _found(path, "evaluate")


def _found(path: Path, task: str) -> Path:
    if path.exists() or path.suffix or path.parent != Path():
        return path
    folder = RECIPES / "train" if task == "train" else RECIPES
    names = sorted(recipe.stem for recipe in folder.glob("*.yaml"))
    if path.name not in names:
        raise ConfigError(
            f"no such file, and no shipped recipe of 'clearsight {COMMANDS[task]}'",
            where=str(path),
            hint=near_miss(path.name, names),
        )
    return folder / f"{path.name}.yaml"


def read_evaluate(path: Path) -> tuple[Document, Evaluate]:
    """Return a config of ``task: evaluate`` with its document."""
    from clearsight.pipelines.config.evaluate import Evaluate

    document = read_task(path, "evaluate")
    return document, document.parse(Evaluate)
