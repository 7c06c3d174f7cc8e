"""``clearsight sweep`` and ``clearsight stop``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.home import expanded, writable_folder
from clearsight.pipelines.cli.configs import read_task
from clearsight.pipelines.cli.console import console, progress

if TYPE_CHECKING:
    from clearsight.data.executors.choice import Backend


def command(config: Path, out: Path, *, workers: int, device: str, quiet: bool, backend: Backend) -> None:
    """Make the runs of a sweep and print its table."""
    from rich.markup import escape
    from rich.table import Table

    from clearsight.pipelines.config.sweep import Sweep

    document, spec = read_task(config, Sweep)
    spec.ready()
    writable_folder(out)
    from clearsight.pipelines.report.words import quantity, span
    from clearsight.pipelines.runs.displays import display_of
    from clearsight.pipelines.sweeping.sweep import PAGE, TABLE, sweep

    with progress(quiet=quiet) as tell:
        found = sweep(
            spec,
            text=document.text,
            root=out,
            workers=workers,
            device=device,
            backend=backend,
            on_progress=tell,
        )
    table = Table(box=None, pad_edge=False)
    for heading in (*found.axes, "system", "conditions", "attack"):
        table.add_column(escape(heading))
    table.add_column(display_of(found.metric).label, justify="right")
    table.add_column("95 % interval", justify="right")
    for line in found.lines:
        words = (*line.values, line.system, f"{line.group} ({line.conditions})", line.attack)
        figure = line.figure
        value, interval = quantity(figure.value, found.metric), span(figure.low, figure.high, found.metric)
        table.add_row(*map(escape, words), value, interval)
    screen = console()
    screen.print(table)
    for name in (TABLE, PAGE):
        screen.print(str(Path(found.folder) / name), markup=False, soft_wrap=True)


def stop_command(path: Path) -> None:
    """Ask a run or a sweep to end, and say which folders were asked."""
    from clearsight.pipelines.runs.stop_request import ask_to_stop

    for folder in ask_to_stop(expanded(path)):
        console().print(f"{folder}: asked to end after its present chunks", markup=False, soft_wrap=True)
