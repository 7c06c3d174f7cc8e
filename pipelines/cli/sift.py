"""``clearsight sift``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_task
from clearsight.pipelines.cli.console import console, progress, tell_skipped


def command(config: Path, out: Path, *, workers: int, device: str, quiet: bool) -> None:
    """Judge training images and print what a filter would remove, and where the list is."""
    from clearsight.pipelines.config.sift import Sift

    document, spec = read_task(config, Sift)
    spec.ready()
    writable_folder(out)
    from clearsight.pipelines.sifting.sift import FIGURES, IMAGES, sift

    with progress(quiet=quiet) as tell:
        done = sift(spec, text=document.text, root=out, workers=workers, device=device, on_progress=tell)
    say = partial(console().print, markup=False, soft_wrap=True)
    tell_skipped(say, done.skipped, str(done.folder / FIGURES))
    part = _percent(done.removed / done.images)
    say(f"{done.removed:,} of {done.images:,} images would be removed ({part})")
    if "found" in done.figures:
        say(f"of the poisoned images {_told(done.figures['found'])} are among them,")
        say(f"of the others {_told(done.figures['falsely_removed'])}")
    say(f"images: {done.folder / IMAGES}")


def _told(share: Mapping[str, Any]) -> str:
    interval = f"{_percent(share['low'])} to {_percent(share['high'])}"
    return f"{share['n']:,} of {share['of']:,} ({_percent(share['share'])}, {interval})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
