"""Commands that learn from images: train networks, tune chains of restorers, fit parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.cli.task import (
    Config,
    Device,
    On,
    Out,
    Quiet,
    RayAddress,
    UnitTimeout,
    Workers,
    backend_of,
)

learning_app = typer.Typer()


@learning_app.command()
def train(
    config: Config,
    minutes: Annotated[float | None, typer.Option(min=0, help="Time budget instead of the config's.")] = None,
    device: Device = "auto",
    dark: Annotated[
        str | None, typer.Option(help="Folder of dark images, in place of the recipe's data.")
    ] = None,
    normal: Annotated[str | None, typer.Option(help="Folder of well-lit images, of other scenes.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Weights to start from (clearsight weights list), or their folder.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=16, help="Resize --dark and --normal to this square first.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A value in place of the recipe's: model.depth=18; may be repeated."),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="CONFIG is a list of trainings, run one after another.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="Train in so many processes of this machine; one a GPU.")
    ] = 1,
    as_rank: Annotated[bool, typer.Option("--as-rank", hidden=True)] = False,
    out: Out = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Train a network as a recipe says, or adapt one to your own images; resumes where it was stopped."""
    from clearsight.pipelines.cli.train import Own, command, queued, together

    if queue:
        if minutes or dark or normal or init or size or changes or processes > 1 or as_rank:
            raise ConfigError("takes no other values", where="--queue", hint="write them into the list")
        queued(config, device=device, out=out, quiet=quiet)
        return
    own = Own(dark=dark, normal=normal, init=init, size=size, changes=tuple(changes or ()))
    if processes > 1:
        together(config, own, processes, minutes=minutes, device=device, out=out, quiet=quiet)
        return
    command(config, own, minutes=minutes, device=device, out=out, quiet=quiet, as_rank=as_rank)


@learning_app.command()
def tune(
    config: Config,
    out: Out = Path("runs"),
    workers: Workers = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Search the chain of restorers that helps a classifier most, and write its recipe; resumes."""
    from clearsight.pipelines.cli.tune import command

    command(config, out, workers=workers, device=device, quiet=quiet)


@learning_app.command()
def fit(
    config: Config,
    out: Out = Path("runs"),
    workers: Workers = 0,
    on: On = "processes",
    ray_address: RayAddress = None,
    unit_timeout: UnitTimeout = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Fit a part without gradients, such as a temperature, to labelled images; resumes."""
    from clearsight.pipelines.cli.fit import command

    command(
        config,
        out,
        workers=workers,
        device=device,
        quiet=quiet,
        backend=backend_of(on, ray_address, unit_timeout),
    )


@learning_app.command()
def sift(
    config: Config,
    out: Out = Path("runs"),
    workers: Workers = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Name the training images that a trained classifier's features give away as poisoned; resumes."""
    from clearsight.pipelines.cli.sift import command

    command(config, out, workers=workers, device=device, quiet=quiet)
