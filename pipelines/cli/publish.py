"""``clearsight weights card`` and ``clearsight weights push``."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.home import replace_file, writable_file
from clearsight.data.weights import CARD, MODEL, find
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.cli.model_card import model_card
from clearsight.pipelines.cli.weights import check


def card_command(name: str, repo: str, out: Path | None) -> None:
    """Print a model card, or write it."""
    text = model_card(find(name), repo)
    if out is None:
        console().print(text, markup=False, highlight=False, soft_wrap=True, end="")
        return
    replace_file(writable_file(out), text.encode())
    console().print(out, markup=False, soft_wrap=True)


def push_command(name: str, repo: str, *, branch: str, message: str, private: bool) -> None:
    """Check weights, put them into a repository with their card, and print how configs name them."""
    from clearsight.data.remote.hub import push

    weights = find(name)
    check(weights)
    files: dict[str, bytes | Path] = {
        MODEL: weights.folder / MODEL,
        CARD: weights.folder / CARD,
        "README.md": model_card(weights, repo).encode(),
    }
    told = message or f"{weights.card['id']}, sha256 {weights.sha256[:12]}"
    commit = push(repo, files, message=told, branch=branch, private=private)
    console().print(
        f"use it as  weights: hub:{repo}@{commit}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
