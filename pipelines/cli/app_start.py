"""Commands around a run: a config to begin with, and how far a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

start_app = typer.Typer()


@start_app.command()
def init(
    out: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file to write.")] = Path("my.yaml"),
    images: Annotated[
        str | None, typer.Option(help="Folder with one sub-folder a class, or a parquet file.")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Weights (clearsight list), model.onnx or file.py:name.")
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
def status(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Look again until it is complete or stopped.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 30.0,
) -> None:
    """Say how far a run is: from another terminal, or over ssh."""
    from clearsight.pipelines.cli.status import command

    command(folder, follow=follow, every=every)
