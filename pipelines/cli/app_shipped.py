"""Commands about what ships with clearsight or is fetched by it: weights and public data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clearsight.pipelines.cli.task import Quiet

weights_app = typer.Typer(
    no_args_is_help=True, help="Weights: those that ship, those on the hub, and their cards."
)
NAMED = "Id of weights, or their folder; 'clearsight weights list' names those that ship."
data_app = typer.Typer(no_args_is_help=True, help="Public data sets.")


@weights_app.command("list")
def weights_list() -> None:
    """List shipped weights with their measured figures."""
    from clearsight.pipelines.cli.weights import list_command

    list_command()


@weights_app.command("verify")
def weights_verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids (clearsight weights list), folders, or hub:owner/name; default: all shipped."
        ),
    ] = None,
) -> None:
    """Check the sha256 of weights, and that they load into the network that their card names."""
    from clearsight.pipelines.cli.weights import verify_command

    verify_command(names or [])


@weights_app.command("card")
def weights_card(
    name: Annotated[str, typer.Argument(help=NAMED)],
    repo: Annotated[
        str, typer.Option(help="Where they will lie on the hub (owner/name): for the example.")
    ] = "owner/name",
    out: Annotated[Path | None, typer.Option(help="File to write; left out: it is printed.")] = None,
) -> None:
    """Print the card of weights as a model card of the Hugging Face hub: YAML front matter and Markdown."""
    from clearsight.pipelines.cli.publish import card_command

    card_command(name, repo, out)


@weights_app.command("push")
def weights_push(
    name: Annotated[str, typer.Argument(help=NAMED)],
    repo: Annotated[str, typer.Argument(help="Repository on the hub: owner/name. It is made if need be.")],
    branch: Annotated[str, typer.Option(help="Branch to commit to; it is made if need be.")] = "main",
    message: Annotated[str, typer.Option(help="Message of the commit; left out: the id.")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="A repository that is made is seen by its owner alone.")
    ] = False,
) -> None:
    """Check weights and put them on the Hugging Face hub with their card (HF_TOKEN says who you are)."""
    from clearsight.pipelines.cli.publish import push_command

    push_command(name, repo, branch=branch, message=message, private=private)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")],
    quiet: Quiet = False,
) -> None:
    """Download a public data set: checked by sha256, resumable, never done without this command."""
    from clearsight.pipelines.cli.download import command

    command(name, quiet=quiet)
