"""``clearsight train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.configs import read_task
from pipelines.commands.console import console, progress

if TYPE_CHECKING:
    from pipelines.train import Progress

STEPS = 1000
"""Marks on the progress bar, which shows the share of the budget, be it minutes or epochs."""


def command(path: Path, *, minutes: float | None, device: str, out: Path, quiet: bool) -> None:
    """Train as a recipe says and print where the weights are and what they reach."""
    from pipelines.training.config import TrainConfig

    config = read_task(path, "train").parse(TrainConfig).within(minutes)
    folder = out / f"train_{config.name}_{config.key()[:10]}"
    from pipelines.train import train

    screen = console()
    with progress(quiet=quiet) as tell:

        def show(state: Progress) -> None:
            tell("train", round(STEPS * state.share), STEPS)
            if state.check:
                tell.note(f"epoch {state.epoch:.1f}: loss {state.loss:.4g}, validation {state.check.text()}")

        done = train(config, device=device, folder=folder, on_progress=show)
    for part, score in done.scores.items():
        screen.print(f"{part}: {score.text()}", markup=False)
    screen.print(f"weights: {done.weights.folder}", markup=False, soft_wrap=True)
