"""Journey: somebody who knows nothing asks every command what it does, and what can be written behind its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pages import done_by
from typer.main import get_command
from typer.testing import CliRunner

from clearsight.data.benchmark.sets import SETS
from clearsight.data.corruptions.base import BY_SIZE, TABLES
from clearsight.data.executors.choice import NAMES
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.cli.recipes import listed
from clearsight.pipelines.config.registries import GROUPS
from clearsight.pipelines.config.tasks import TASKS

VALUES = {
    "on": NAMES,
    "device": ("auto", "cpu", "cuda", "cuda:1", "mps"),
    "norm": ("linf", "l2", "l1"),
    "kinds": tuple(SETS),
    "layout": ("imagenet_c", "cifar_c"),
    "table": (*TABLES, BY_SIZE),
    "image_format": ("png", "jpeg"),
    "variant": ("fp32", "fp16", "int8"),
    "provider": ("auto", "cpu", "cuda", "tensorrt"),
    "task": tuple(TASKS.kinds),
    "tile": ("auto", "none"),
    "batch": ("auto",),
    "data get name": ("cifar10", "cifar100"),
}
"""Options whose help names every value, and the values."""
LISTED = ("clearsight list", "clearsight weights list", "of the config", "the config's", "configs")
"""What help says of names that are too many: which command lists them, or that the user's own config has them."""
FREE = {
    *("source", "images", "out", "dark", "normal", "host", "ray_address"),
    *("severity", "eps", "sigma", "fail_if", "changes", "sizes", "repo", "branch", "message"),
}
"""Paths and addresses, numbers and rules as text, and names that users give themselves."""


def parameters() -> Iterator[tuple[str, Any]]:
    """Yield (command, option or argument) of all commands that are shown."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        inner = {f"{name} {each}": one for each, one in getattr(command, "commands", {}).items()}
        for place, one in (inner or {name: command}).items():
            if not one.hidden:
                yield from ((place, each) for each in one.params if not getattr(each, "hidden", False))


def _takes_text(parameter: Any) -> bool:
    """Return whether the value is any text: typer and click say so in their own ways."""
    kind = getattr(parameter, "type", None)
    return getattr(parameter, "bare_type", None) is str or getattr(kind, "name", "") == "text"


@pytest.mark.slow
def test_every_command_says_what_it_does() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    top = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    for name, command in commands.items():
        if command.hidden:
            continue
        assert name in top
        done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert done.exit_code == 0, name
        assert command.help, name


def test_every_option_says_what_it_means() -> None:
    for place, parameter in parameters():
        told = getattr(parameter, "help", None)
        assert told or parameter.param_type_name == "argument", f"{place}: {parameter.name} says nothing"


def test_every_option_that_takes_a_name_says_which_names_there_are() -> None:
    told = 0
    for place, parameter in parameters():
        about = getattr(parameter, "help", None) or ""
        values = VALUES.get(f"{place} {parameter.name}") or VALUES.get(parameter.name, ())
        if place == "bench" and parameter.name == "batch":
            continue
        missing = [value for value in values if value not in about]
        assert not missing, f"{place}: {parameter.name} does not name {missing}"
        told += bool(values)
        if parameter.name == "config" or (
            _takes_text(parameter) and not values and parameter.name not in FREE
        ):
            assert any(words in about for words in LISTED), f"{place}: {parameter.name}: {about}"
    assert told > 20


def test_recipes_are_listed_with_their_command(capsys: pytest.CaptureFixture[str]) -> None:
    found = {name: command for name, command, _ in listed()}
    assert found["quickstart"] == "clearsight run"
    assert found["signs-standard"] == "clearsight train"
    assert all(command and purpose for _, command, purpose in listed())
    done_by("list", "recipes")
    assert "clearsight tune" in capsys.readouterr().out


def test_a_group_that_is_not_there_is_answered_with_those_that_are() -> None:
    done = CliRunner().invoke(app, ["list", "restorer"])
    assert done.exit_code
    assert "restorers" in getattr(done.exception, "hint", "")
    assert "recipes" not in GROUPS


def test_a_command_that_is_not_there_is_answered_with_those_that_are() -> None:
    done = CliRunner().invoke(app, ["sevre"])
    assert done.exit_code == 2
    assert "serve" in done.output
