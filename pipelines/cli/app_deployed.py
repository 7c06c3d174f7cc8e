"""Commands that write deployed files and use them. Only ``export`` needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clearsight.pipelines.cli.task import Config, Quiet

deployed_app = typer.Typer()

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="File that 'clearsight export' wrote.")]
Provider = Annotated[str, typer.Option(help="auto, cpu, cuda or tensorrt.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Default: one per core.")]


@deployed_app.command()
def export(
    config: Config,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files and manifest.json.")],
    system: Annotated[
        list[str] | None, typer.Option(help="A system of the config; may be repeated. Default: all.")
    ] = None,
    variant: Annotated[str, typer.Option(help="fp32, fp16, or int8 (calibrated on the data).")] = "fp32",
    taps: Annotated[
        str, typer.Option(help="Nodes of the config's systems whose images become outputs too: a,b.")
    ] = "",
    uint8: Annotated[bool, typer.Option("--uint8", help="Take and give images as uint8 NHWC.")] = False,
    unrestored: Annotated[
        bool,
        typer.Option("--unrestored", help="Write the classifier alone too: 'serve' compares."),
    ] = False,
    opset: Annotated[int | None, typer.Option(help="ONNX operator set, 18 to 25; default: 20.")] = None,
    measured: Annotated[int | None, typer.Option(min=1, help="Most images to measure on.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write systems of a config as verified ONNX files: what was measured is what is deployed."""
    from clearsight.pipelines.cli.export import Wanted, command

    wanted = Wanted(tuple(system or ()), variant, taps, uint8, opset, measured, unrestored)
    command(config, out, wanted, quiet=quiet)


@deployed_app.command()
def infer(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="Image, video, folder, glob, or - for a list on standard input."),
    ],
    csv: Annotated[Path | None, typer.Option(help="File for the results, one row an image.")] = None,
    restored: Annotated[
        Path | None, typer.Option("--save-restored", metavar="DIR", help="Folder for the restored images.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes per image, the likeliest first.")] = 5,
    provider: Provider = "auto",
    threads: Threads = None,
    batch: Annotated[str, typer.Option(help="auto, or the most images of one size per call.")] = "auto",
    size: Annotated[int | None, typer.Option(min=1, help="Short side; the middle square is used.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume/--fresh", help="Continue the CSV file, or replace it.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Classify and restore images and videos with an exported file; needs no torch."""
    from clearsight.pipelines.cli.infer import command

    command(
        model,
        source,
        csv=csv,
        restored=restored,
        top=top,
        provider=provider,
        threads=threads,
        batch=batch,
        size=size,
        resume=resume,
        quiet=quiet,
    )


@deployed_app.command()
def serve(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Exported files; the first answers by default.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    top: Annotated[int, typer.Option(min=1, help="Classes per image where a request names no number.")] = 5,
    size: Annotated[int | None, typer.Option(min=1, help="Short side; the middle square is used.")] = None,
    provider: Provider = "auto",
    threads: Threads = None,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Largest body of a request, in MiB.")] = 16,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Largest image, or batch of images, in megapixels.")
    ] = 16,
    waiting: Annotated[int, typer.Option(min=1, help="Requests at a time; more are answered with 503.")] = 64,
    quiet: Quiet = False,
) -> None:
    """Answer images over HTTP with labels and restored images (needs the extra 'serve')."""
    from clearsight.pipelines.cli.serve import Limits, command

    limits = Limits(int(max_megabytes * 2**20), int(max_megapixels * 10**6), waiting)
    command(models, host, port, limits, top=top, size=size, provider=provider, threads=threads, quiet=quiet)


@deployed_app.command()
def bench(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Exported files, side by side.")],
    sizes: Annotated[str, typer.Option(help="Sides (64) or sizes (640x480), with commas.")] = "32,64,224,512",
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time to measure each file at each size.")] = 3,
    provider: Provider = "auto",
    threads: Threads = None,
    json: Annotated[Path | None, typer.Option(help="File for the figures and the machine.")] = None,
) -> None:
    """Time exported files side by side: latency (median, p95) and images a second."""
    from clearsight.pipelines.cli.bench import command

    command(models, sizes, batch=batch, seconds=seconds, provider=provider, threads=threads, json=json)
