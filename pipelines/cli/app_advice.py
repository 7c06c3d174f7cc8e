"""Commands that look at images: what is wrong with them, and what would help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clearsight.data.weights import SENSE
from clearsight.pipelines.cli.task import Device, Quiet

advice_app = typer.Typer()

Images = Annotated[
    str,
    typer.Argument(metavar="IMAGES", help="File, folder (of class folders: the labels), or parquet file."),
]
Sense = Annotated[str, typer.Option(help="Weights of a sense of degradation (clearsight weights list).")]
Take = Annotated[int, typer.Option(min=1, help="Images at most, drawn evenly over the classes.")]


@advice_app.command()
def sense(
    images: Images,
    csv: Annotated[Path | None, typer.Option(help="File for the results, one row an image.")] = None,
    weights: Sense = SENSE,
    take: Annotated[int | None, typer.Option(min=1, help="Images at most; default: all.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with images: noise, blur, darkness, haze, compression, weather, or nothing."""
    from clearsight.pipelines.cli.sense import command

    command(images, weights, csv=csv, take=take, device=device, quiet=quiet)


@advice_app.command()
def advise(
    images: Images,
    classifier: Annotated[
        str,
        typer.Option(
            help="Weights (clearsight weights list), their folder, an ONNX file, or a kind of classifier."
        ),
    ],
    restorers: Annotated[
        list[str] | None,
        typer.Option(help="A chain to try (clearsight list restorers): denoise,deblur; may be repeated."),
    ] = None,
    weights: Sense = SENSE,
    take: Take = 300,
    size: Annotated[int | None, typer.Option(min=1, help="Short side; the middle square is used.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file for the advice.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Say whether restoration would help a classifier with these images, or to leave them alone."""
    from clearsight.pipelines.cli.advise import command

    command(images, classifier, restorers, weights, take=take, size=size, out=out, device=device, quiet=quiet)
