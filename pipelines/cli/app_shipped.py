"""Commands about what ships with clearsight or is fetched by it: weights and public data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from clearsight.pipelines.cli.task import Quiet

weights_app = typer.Typer(no_args_is_help=True, help="Shipped weights and their cards.")
data_app = typer.Typer(no_args_is_help=True, help="Public data sets.")


@weights_app.command("list")
def weights_list() -> None:
    """List shipped weights with their measured figures."""
    from clearsight.pipelines.cli.weights import list_command

    list_command()


@weights_app.command("verify")
def weights_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Ids or folders; default: all shipped.")] = None,
) -> None:
    """Check the sha256 of weights, and that they load into the network that their card names."""
    from clearsight.pipelines.cli.weights import verify_command

    verify_command(names or [])


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    quiet: Quiet = False,
) -> None:
    """Download a public data set: checked by sha256, resumable, never done without this command."""
    from clearsight.pipelines.cli.download import command

    command(name, quiet=quiet)
