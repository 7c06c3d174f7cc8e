"""Reads a config of one task, by path or by the name of a shipped recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.pipelines.cli.overrides import overridden
from clearsight.pipelines.config.tasks import TASKS, Task
from clearsight.pipelines.config.yaml_reader import Document, load

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate

T = TypeVar("T", bound=Task)
RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def read_task(path: Path, task: type[T], changes: Iterable[str] = ()) -> tuple[Document, T]:
    """Return a config of one task with its document.

    Args:
        path: a file; or the bare name of a shipped recipe, such as ``quickstart``.
        task: class of the config.
        changes: values that replace those of the file, ``place=value`` each.

    Raises:
        ConfigError: it cannot be read, or is of another task; the message says which command runs it.
    """
    document = load(_found(path, task))
    _refuse_list(document, path)
    other = _task_of(document)
    if other is not None and other is not task:
        raise ConfigError(
            f"this is a config of 'task: {document.value['task']}'",
            where=document.where(("task",)),
            hint=f"use: clearsight {other.command} {path}",
        )
    document = overridden(document, changes)
    return document, document.parse(task)


def read_any(path: Path) -> tuple[Document, Task]:
    """Return a config of any task with its document.

    Args:
        path: a file, or the bare name of a shipped recipe.

    Raises:
        ConfigError: it cannot be read, or there is no such task.
    """
    names = [task for task in TASKS if path.name in _recipes(task)]
    document = load(_found(path, names[0] if names else TASKS["evaluate"]))
    _refuse_list(document, path)
    task = _task_of(document)
    if task is None:
        name = document.value.get("task") if isinstance(document.value, dict) else None
        what = "'task' is missing" if name is None else f"unknown task '{name}'"
        raise ConfigError(what, where=document.where(("task",)), hint=near_miss(str(name), TASKS.kinds))
    return document, document.parse(task)


def _refuse_list(document: Document, path: Path) -> None:
    if isinstance(document.value, dict) and "trainings" in document.value:
        raise ConfigError(
            "this is a list of trainings",
            where=document.where(("trainings",)),
            hint=f"use: clearsight train {path} --queue",
        )


def _task_of(document: Document) -> type[Task] | None:
    name = document.value.get("task") if isinstance(document.value, dict) else None
    return TASKS.kinds.get(name) if isinstance(name, str) else None


def _recipes(task: type[Task]) -> list[str]:
    return sorted(recipe.stem for recipe in (RECIPES / task.recipes).glob("*.yaml"))


def _found(path: Path, task: type[Task]) -> Path:
    """Return the file that a path or the bare name of a recipe means."""
    if path.exists() or path.suffix or path.parent != Path():
        return path
    names = _recipes(task)
    if path.name not in names:
        raise ConfigError(
            f"no such file, and no shipped recipe of 'clearsight {task.command}'",
            where=str(path),
            hint=near_miss(path.name, names),
        )
    return RECIPES / task.recipes / f"{path.name}.yaml"


def read_evaluate(path: Path) -> tuple[Document, Evaluate]:
    """Return a config of ``task: evaluate`` with its document."""
    from clearsight.pipelines.config.evaluate import Evaluate

    return read_task(path, Evaluate)
