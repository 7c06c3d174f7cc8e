"""One registry of tasks: a class in a file is a new ``task:``."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal

import pytest

from clearsight.data.contract import registry
from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.cli import configs
from clearsight.pipelines.cli.check import command as check
from clearsight.pipelines.cli.schema import schema_of
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.config.sift import Sift
from clearsight.pipelines.config.sweep import Sweep
from clearsight.pipelines.config.tasks import TASKS, Task
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.config.tune import Tune


class Count(Task):
    """A task of a user's package."""

    command: ClassVar[str] = "count"
    task: Literal["count"]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings ``task: count``."""
    module = ModuleType(Count.__module__)
    vars(module)["Count"] = Count
    monkeypatch.setattr(registry, "_plugins", lambda: (module,))
    monkeypatch.setattr(TASKS, "_kinds", None)


def test_the_registry_holds_the_tasks() -> None:
    assert TASKS.kinds == {
        "evaluate": Evaluate,
        "fit": Fit,
        "sift": Sift,
        "sweep": Sweep,
        "train": TrainConfig,
        "tune": Tune,
    }


@pytest.mark.slow
def test_a_new_task_is_one_class(counting: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(TASKS.kinds) == ["count", "evaluate", "fit", "sift", "sweep", "train", "tune"]
    assert set(schema_of("count")["properties"]) == {"name", "data", "task"}
    path = tmp_path / "c.yaml"
    path.write_text("task: count\nname: many\ndata: {kind: signs, count: 12}\n")
    check(path, measure=False)
    assert "fine; counts 'many' on 12 images" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ConfigError, match=r"config of 'task: count'.*use: clearsight count"):
        configs.read_task(path, TrainConfig)


def test_unknown_tasks_are_named_with_a_near_miss(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ntask: evaluat\n")
    with pytest.raises(ConfigError, match=r"c.yaml:2: unknown task 'evaluat'.*evaluate"):
        configs.read_any(path)
    path.write_text("name: x\n")
    with pytest.raises(ConfigError, match="'task' is missing"):
        configs.read_any(path)


def test_recipes_of_every_task_are_read_by_name() -> None:
    assert isinstance(configs.read_any(Path("quickstart"))[1], Evaluate)
    assert isinstance(configs.read_any(Path("enlighten"))[1], TrainConfig)
    with pytest.raises(ConfigError, match="no shipped recipe of 'clearsight train'"):
        configs.read_task(Path("quickstart"), TrainConfig)
