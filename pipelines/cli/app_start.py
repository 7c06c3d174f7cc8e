"""Commands around a run: a config to begin with, and how far a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

start_app = typer.Typer()


@start_app.command()
def init(
    out: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file to write.")] = Path("my.yaml"),
    images: Annotated[
        str | None, typer.Option(help="Folder with one sub-folder a class, or a parquet file.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Weights (clearsight weights list) or their folder, model.onnx or file.py:name."),
    ] = None,
    restorer: Annotated[
        list[str] | None,
        typer.Option(help="Task, weights or kind (clearsight list restorers); may be repeated."),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Classes of an ONNX file or of code; default: as the images.")
    ] = None,
    attack: Annotated[bool, typer.Option("--attack", help="An adversarial attack too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a config from what you have; asks for images and classifier where they are not given."""
    from clearsight.pipelines.cli.init import command

    command(
        out,
        images=images,
        classifier=classifier,
        restorers=restorer or (),
        classes=classes,
        attack=attack,
        force=force,
    )


@start_app.command()
def sweep(
    config: Config,
    out: Out = Path("runs"),
    workers: Workers = 0,
    on: On = "processes",
    ray_address: RayAddress = None,
    unit_timeout: UnitTimeout = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure a config for every combination of some values; runs share their cells; resumes."""
    from clearsight.pipelines.cli.sweep import command

    backend = backend_of(on, ray_address, unit_timeout)
    command(config, out, workers=workers, device=device, quiet=quiet, backend=backend)


@start_app.command()
def stop(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or a sweep.")],
) -> None:
    """Ask a run or a sweep on another terminal to end after its present chunks; it can be resumed."""
    from clearsight.pipelines.cli.sweep import stop_command

    stop_command(folder)


@start_app.command()
def status(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or a sweep.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again until it is complete or stopped.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 30.0,
) -> None:
    """Say how far a run is: from another terminal, or over ssh."""
    from clearsight.pipelines.cli.status import command

    command(folder, follow=follow, every=every)
