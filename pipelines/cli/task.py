"""Commands of tasks from plug-in packages: their options, and the one call of `Task.perform`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from clearsight.pipelines.config.tasks import Task

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, or the name of a shipped recipe.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0: one per core. Results do not depend on it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")]
Out = Annotated[Path, typer.Option(help="Folder that holds the run folders.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew, beside an equal run.")]


class Commands(TyperGroup):
    """The commands of `app`, then those of tasks that have none there: a new task is one file."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name; tasks are searched only where no built-in command has it."""
        return super().get_command(ctx, cmd_name) or _command_of(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names for ``--help``."""
        from clearsight.data.contract.registry import has_plugins

        own = super().list_commands(ctx)
        if not has_plugins():
            return own
        from clearsight.pipelines.config.tasks import TASKS

        return [*own, *(task.command for task in TASKS if task.command not in own)]


def _command_of(name: str) -> Any:
    from clearsight.pipelines.config.tasks import TASKS

    task = next((task for task in TASKS if task.command == name), None)
    return None if task is None else _made(task)


def _made(task: type[Task]) -> Any:
    app = typer.Typer(add_completion=False)

    @app.command(task.command, help=task.__doc__)
    def perform(
        config: Config,
        out: Out = Path("runs"),
        workers: Workers = 0,
        device: Device = "auto",
        fresh: Fresh = False,
        quiet: Quiet = False,
    ) -> None:
        from clearsight.data.home import writable_folder
        from clearsight.pipelines.cli.configs import read_task
        from clearsight.pipelines.cli.console import console, progress
        from clearsight.pipelines.config.tasks import Call

        document, spec = read_task(config, task)
        spec.ready()
        with progress(quiet=quiet) as tell:
            call = Call(document.text, writable_folder(out), workers, device, fresh, tell)
            lines = list(spec.perform(call))
        for line in lines:
            console().print(line, markup=False, soft_wrap=True)

    return typer.main.get_command(app)
