"""Commands of tasks from plug-in packages: their options, and the one call of `Task.perform`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.home import is_address

if TYPE_CHECKING:
    from clearsight.data.executors.choice import Backend
    from clearsight.data.executors.choice import On as On_
    from clearsight.pipelines.config.tasks import Task

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file, or a shipped recipe (clearsight list recipes).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 (the second GPU) or mps.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0: one per core. Results do not depend on it.")]
On = Annotated[
    str, typer.Option("--on", help="local (this process), processes (of this machine), or ray (a cluster).")
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a Ray cluster; default: RAY_ADDRESS, else one is started here."),
]
UnitTimeout = Annotated[
    float | None,
    typer.Option(min=0.001, help="With --on ray: seconds after which a unit is tried on another machine."),
]
PinKind = Annotated[
    bool, typer.Option("--pin-kind", help="Refuse machines of several kinds (CPU model, GPU) in one run.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")]


def local_folder(out: str) -> Path:
    """Return a folder of this machine.

    Raises:
        ConfigError: it is the address of something elsewhere.
    """
    if is_address(out):
        raise ConfigError("this command writes into folders of this machine", where=f"--out {out}")
    return Path(out)


Out = Annotated[
    Path, typer.Option(help="Folder that holds the run folders.", parser=local_folder, metavar="PATH")
]
OutOrAddress = Annotated[
    str, typer.Option(metavar="PATH", help="Folder that holds the run folders, or its address (s3://).")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew, beside an equal run.")]


def backend_of(on: str, address: str | None, seconds: float | None = None) -> Backend:
    """Return what ``--on``, ``--ray-address`` and ``--unit-timeout`` ask for.

    Raises:
        ConfigError: there is no such executor, or the address does not fit.
    """
    from clearsight.data.executors.choice import NAMES, Backend
    from clearsight.data.executors.resources import Resources

    if on not in NAMES:
        raise ConfigError(f"unknown value '{on}'", where="--on", hint=near_miss(on, NAMES))
    return Backend(cast("On_", on), address, Resources(seconds=seconds))


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
