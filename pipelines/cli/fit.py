"""``clearsight fit``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_task
from clearsight.pipelines.cli.console import console, progress, tell_passed_over, tell_skipped
from clearsight.pipelines.cli.weights import headline

if TYPE_CHECKING:
    from clearsight.data.executors.choice import Backend


def command(config: Path, out: Path, *, workers: int, device: str, quiet: bool, backend: Backend) -> None:
    """Fit what a config says and print where the weights are and what they change."""
    from clearsight.pipelines.config.fit import Fit

    document, spec = read_task(config, Fit)
    spec.ready()
    writable_folder(out)
    from clearsight.pipelines.fitting.fit import LEFT_OUT, fit

    with progress(quiet=quiet) as tell:
        done = fit(
            spec,
            text=document.text,
            root=out,
            workers=workers,
            device=device,
            backend=backend,
            on_progress=tell,
        )
    say = partial(console().print, markup=False, soft_wrap=True)
    tell_skipped(say, done.skipped, str(done.folder / LEFT_OUT))
    if done.passed_over:
        tell_passed_over(say, done.passed_over, str(done.folder / LEFT_OUT))
    for warning in done.warnings:
        say(f"warning: {warning}")
    values = "".join(f"; {name} {value:.4g}" for name, value in done.values.items())
    say(f"fitted to {done.images} images{values}")
    if figures := headline(done.figures):
        say(f"on images that took no part: {figures}")
    say(f"weights: {done.weights.folder}")
