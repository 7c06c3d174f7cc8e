"""The command line. Each command's work is imported when it is called, so ``--help`` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from clearsight.data.heap import keep_freed_memory
from clearsight.pipelines.cli.app_advice import advice_app
from clearsight.pipelines.cli.app_deployed import deployed_app
from clearsight.pipelines.cli.app_learning import learning_app
from clearsight.pipelines.cli.app_shipped import data_app, weights_app
from clearsight.pipelines.cli.app_start import start_app
from clearsight.pipelines.cli.endings import told_in_one_line
from clearsight.pipelines.cli.task import (
    Commands,
    Config,
    Device,
    Fresh,
    On,
    Out,
    OutOrAddress,
    PinKind,
    Quiet,
    RayAddress,
    UnitTimeout,
    Workers,
    backend_of,
)

app = typer.Typer(
    name="clearsight",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(weights_app, name="weights")
app.add_typer(data_app, name="data")
app.add_typer(learning_app)
app.add_typer(deployed_app)
app.add_typer(advice_app)
app.add_typer(start_app)


def _version(wanted: bool) -> bool:
    if wanted:
        from clearsight.pipelines.runs.versions import clearsight_version

        typer.echo(f"clearsight {clearsight_version()}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Restoration pipelines in front of classifiers, measured by the accuracy that is left."""


@app.command("run")
def run_(
    config: Config,
    out: OutOrAddress = "runs",
    workers: Workers = 0,
    on: On = "processes",
    ray_address: RayAddress = None,
    unit_timeout: UnitTimeout = None,
    pin_kind: PinKind = False,
    device: Device = "auto",
    fresh: Fresh = False,
    quiet: Quiet = False,
) -> None:
    """Measure systems as a config says; resumes where an equal run was stopped."""
    from clearsight.pipelines.cli.run import command

    backend = backend_of(on, ray_address, unit_timeout)
    command(
        config,
        out,
        workers=workers,
        device=device,
        fresh=fresh,
        quiet=quiet,
        backend=backend,
        pin_kind=pin_kind,
    )


@app.command()
def check(
    config: Config,
    measure: Annotated[bool, typer.Option("--measure", help="Time one chunk of each system too.")] = False,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Refuse a config that would execute foreign code.")
    ] = False,
) -> None:
    """Check a config and say how many cells it has and what they cost, before anything runs."""
    from clearsight.pipelines.cli.check import command

    command(config, measure=measure, untrusted=untrusted)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run before the change.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run after it.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(help="before=after: systems of the runs' configs that were renamed; may be repeated."),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            help='What must not happen: "accuracy < -1.0", or "accuracy < -1.0 clearly"; may be repeated.',
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every-condition", help="Show and judge every single condition too.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page too.")] = None,
) -> None:
    """Compare two runs on the same images, image by image; exit code 1 if a rule is broken."""
    from clearsight.pipelines.cli.compare import command

    if not command(first, second, pair=pair or (), fail_if=fail_if or (), every=every, html=html):
        raise typer.Exit(1)


@app.command()
def audit(
    config: Config,
    system: Annotated[
        list[str] | None, typer.Option(help="A system of the config; may be repeated. Default: all.")
    ] = None,
    take: Annotated[int, typer.Option(min=1, help="Images at most.")] = 64,
    eps: Annotated[str, typer.Option(help="Radius of the attacks, for pixels in [0, 1].")] = "8/255",
    norm: Annotated[str, typer.Option(help="linf, l2 or l1.")] = "linf",
    out: Out = Path("runs"),
    workers: Workers = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Say whether the robustness of a config's systems can be believed: exit 0 yes, 1 no, 2 error."""
    from clearsight.pipelines.cli.audit import command

    command(
        config,
        system or [],
        take=take,
        eps=eps,
        norm=norm,
        out=out,
        workers=workers,
        device=device,
        quiet=quiet,
    )


@app.command("list")
def list_(
    group: Annotated[
        str | None,
        typer.Argument(help="One group, such as restorers or recipes; 'clearsight list' shows all."),
    ] = None,
) -> None:
    """List every kind that a config can use."""
    from clearsight.pipelines.cli.catalogue import list_command

    list_command(group)


@app.command()
def show(
    kind: Annotated[
        str,
        typer.Argument(
            help="A kind (clearsight list), or weights: id (clearsight weights list), folder, hub:owner/name."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print a card whole, as JSON.")] = False,
) -> None:
    """Show the fields, defaults and facts of a kind, or the card of weights."""
    from clearsight.pipelines.cli.catalogue import show_command

    show_command(kind, whole=json)


@app.command()
def schema(
    task: Annotated[
        str | None, typer.Argument(help="evaluate, fit, sift, sweep, train or tune; default: all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write <task>.json into.")] = None,
) -> None:
    """Print (or write) the JSON schema of the configs, for editors."""
    from clearsight.pipelines.cli.schema import command

    command(task, out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables instead.")] = False,
    into: Annotated[
        Path | None,
        typer.Option(help="With --markdown: write them into this document, between the run's comments."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="With --markdown: a table of this metric too (clearsight list metrics); may be repeated."
        ),
    ] = None,
) -> None:
    """Print the table of a finished run and write its report.html again."""
    from clearsight.pipelines.cli.run import report_command

    report_command(folder, markdown=markdown, into=into, further=metric or ())


@app.command()
def corrupt(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="Folder of images, a parquet file, or an address.")
    ],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder to write the benchmark into, or its address (s3://).")
    ],
    kinds: Annotated[
        str,
        typer.Option(
            "--set",
            help="imagenet_c_15, imagenet_c_extra_4, imagenet_c_19, or kinds separated by commas"
            " (clearsight list corruptions).",
        ),
    ] = "imagenet_c_15",
    severity: Annotated[str, typer.Option(help="3, or 1-5, or 1,3,5.")] = "1-5",
    layout: Annotated[str, typer.Option(help="imagenet_c or cifar_c.")] = "imagenet_c",
    table: Annotated[
        str,
        typer.Option(
            help="Severity constants: imagenet_c (for 224 pixels), cifar_c (32), tiny_imagenet_c (64); "
            "by_size: cifar_c in its layout, else the nearest."
        ),
    ] = "by_size",
    size: Annotated[
        int | None, typer.Option(min=1, help="Resize and centre-crop to this size first.")
    ] = None,
    image_format: Annotated[str, typer.Option("--format", help="png (lossless) or jpeg.")] = "png",
    seed: Annotated[int, typer.Option(min=0, help="Root of the random streams.")] = 0,
    workers: Workers = 0,
    on: On = "processes",
    ray_address: RayAddress = None,
    unit_timeout: UnitTimeout = None,
    quiet: Quiet = False,
) -> None:
    """Write a corruption benchmark from any images; resumes where it was stopped."""
    from clearsight.pipelines.cli.corrupt import command

    command(
        source,
        out,
        kinds,
        severity,
        layout=layout,
        table=table,
        size=size,
        image_format=image_format,
        seed=seed,
        workers=workers,
        quiet=quiet,
        backend=backend_of(on, ray_address, unit_timeout),
    )


@app.command()
def restore(
    source: Annotated[str, typer.Argument(metavar="IN", help="Image, video, folder or glob.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File for one file, else folder.")],
    words: Annotated[
        str,
        typer.Option(
            "--with",
            help="Tasks (denoise), weights, kinds (clearsight list restorers) or part.yaml, comma-separated.",
        ),
    ],
    sigma: Annotated[str | None, typer.Option(help="Noise level such as 25/255, or auto.")] = None,
    tile: Annotated[str, typer.Option(help="auto, none, or the side of tiles in pixels.")] = "auto",
    device: Device = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Replace what is there, or restore what is missing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Restore images and videos: denoise, deblur, enlarge, enlighten; resumes where it was stopped."""
    from clearsight.pipelines.cli.restore import command

    command(source, out, words, sigma=sigma, tile=tile, device=device, fresh=fresh, quiet=quiet)


def _expanded(word: str) -> str:
    """Return a word of the command line with its ``~`` expanded: shells do not expand it after ``=``."""
    option, is_option, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{is_option}{os.path.expanduser(value)}" if value.startswith("~") else word


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; one clear line and a non-zero exit for everything that a user can fix."""
    # albumentations looks for a newer version on the network at import unless switched off.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    words = [_expanded(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    # A server waits most of its time, and gives memory back.
    if words[:1] != ["serve"]:
        keep_freed_memory()
    with told_in_one_line():
        app(args=words)


if __name__ == "__main__":
    main()
