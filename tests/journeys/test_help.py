"""Journey: somebody who knows nothing asks every command what it does."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from clearsight.pipelines.cli.app import app


@pytest.mark.slow
def test_every_command_says_what_it_does_and_what_every_option_means() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    top = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    for name, command in commands.items():
        if command.hidden:
            continue
        assert name in top
        done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert done.exit_code == 0, name
        assert command.help, name
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            told = getattr(parameter, "help", None)
            assert told or parameter.param_type_name == "argument", f"{name}: {parameter.name} says nothing"


def test_a_command_that_is_not_there_is_answered_with_those_that_are() -> None:
    done = CliRunner().invoke(app, ["sevre"])
    assert done.exit_code == 2
    assert "serve" in done.output
